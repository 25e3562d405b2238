package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/upsource"
	"github.com/spillwayhq/spillway/cmd/spillway/keyfile"
	"github.com/spillwayhq/spillway/cmd/spillway/live"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/app/ingest"
	"github.com/spillwayhq/spillway/shared/cgroup"
	"github.com/spillwayhq/spillway/shared/segment"
)

type upFlags struct {
	name, dataDir, spillDir, listen  string
	segment, writeKey, writeKeys     string
	sqsPort, segmentPort, ingestPort uint16
	console                          consolePort
	latency                          time.Duration
	batchSize                        int
	archive                          upArchive
	hosts                            []string
	gzip, deliver, canary            bool
	hasConsole                       bool
}

func newUp() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the whole pipeline on this machine",
		Long: usage.Help("Runs the whole pipeline on this machine: the ingest endpoint for Segment's SDKs, an SQS emulator, "+
			"the deliver function as Lambda runs it, and a Segment emulator.",
			"An event is on disk in the data directory before it is acknowledged. Ctrl-C stops the pipeline after the "+
				"deliveries in progress; a second Ctrl-C stops it immediately."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			f.console.chosen(c)
			return up(c.Context(), c.OutOrStdout(), f)
		},
	}
	c.Flags().StringVar(&f.name, "name", topology.DefaultNames().Pipeline,
		"`name` of the pipeline, which its queues begin with")
	c.Flags().StringVar(&f.dataDir, "data-dir", ".spillway",
		"`directory` of the queues, the archive and the function's log")
	c.Flags().Uint16Var(&f.sqsPort, "sqs-port", 9324, "`port` of the SQS emulator; 0 takes a free one")
	c.Flags().Uint16Var(&f.ingestPort, "ingest-port", 8080,
		"`port` of the ingest endpoint for Segment's SDKs; 0 takes a free one")
	c.Flags().Uint16Var(&f.segmentPort, "segment-port", 9325, "`port` of the Segment emulator; 0 takes a free one")
	f.console.register(c)
	c.Flags().BoolVar(&f.hasConsole, "console", true,
		"serve the operator's page, to this machine only whatever --listen says")
	c.Flags().StringVar(&f.console.listen, "console-listen", "",
		"IP `address` of the operator's page, such as 0.0.0.0 in a container whose port 9326 is published to its machine "+
			"alone; whoever reaches it reads events and changes what is delivered, without credentials (default: a loopback "+
			"address)")
	c.Flags().StringVar(&f.segment, "segment", "",
		"deliver to this `URL` instead of the Segment emulator: "+segment.EndpointUS+" or "+segment.EndpointEU)
	c.Flags().StringVar(&f.writeKey, "write-key", "", "write `key` of messages that have none")
	c.Flags().StringVar(&f.spillDir, "spill-dir", "",
		"`directory` on another disk for events that the queues do not take, such as when the data directory's disk "+
			"is full; at most 1 GiB (default: such requests are answered 429)")
	f.archive.register(c)
	c.Flags().StringVar(&f.writeKeys, "write-keys", "",
		"`file` with the write-key document: the write keys that the ingest endpoint accepts, with their quotas; it is read "+
			"again when it changes (default: any write key is accepted)")
	c.Flags().DurationVar(&f.latency, "latency", 0, "how long the Segment emulator takes to answer")
	batchSizeFlag(c, &f.batchSize)
	usage.Listen(c, &f.listen)
	usage.AllowHost(c, &f.hosts)
	c.Flags().BoolVar(&f.gzip, "gzip", true, "compress requests to Segment")
	c.Flags().BoolVar(&f.deliver, "deliver", true, "deliver events; with --deliver=false they are only accepted")
	c.Flags().BoolVar(&f.canary, "canary", true,
		"send a synthetic event every minute to check the pipeline; it does not reach Segment")
	return c
}

func up(ctx context.Context, out io.Writer, f upFlags) error {
	names, err := f.check()
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(ingest.MemoryLimit(os.Environ(), cgroup.MemoryLimit()))
	alarms := make(chan local.AlarmChange)
	config := local.Config{
		Name: f.name, Dir: f.dataDir, SQSAddr: address(f.listen, f.sqsPort), IngestAddr: address(f.listen, f.ingestPort),
		SegmentAddr: address(f.listen, f.segmentPort), Segment: f.segment, WriteKey: f.writeKey, WriteKeysFile: f.writeKeys,
		SpillDir: f.spillDir, Archive: f.archive.bounds(),
		Plain: !f.gzip, Hold: !f.deliver, Canary: f.canary, Latency: f.latency, Hosts: f.hosts, BatchSize: f.batchSize,
		OnAlarm:    func(c local.AlarmChange) { alarms <- c }, // read until the pipeline has ended
		StatusSite: true,
	}
	if f.hasConsole {
		config.ConsoleAddr, config.ConsoleAnyPort = f.console.address(f.listen), f.console.any
		config.Console = func(p *local.Pipeline) local.Page {
			source := upsource.New(p)
			return upPage{console.New(console.Config{Source: source, Guard: local.Guard{Names: f.hosts},
				Mounts: map[string]http.Handler{"/status/": p.StatusSite()}}), source}
		}
	}
	p, err := local.Start(config)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what reading the queues' files took: a long start's memory would be seen for minutes
	greet(out, p, names, f)
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		live.Watch(watching, ctx.Done(), out, p.Status, alarms)
	}()
	err = p.Run(ctx)
	unwatch()
	<-watched
	return err
}

func batchSizeFlag(c *cobra.Command, to *int) {
	c.Flags().IntVar(to, "batch-size", topology.DefaultOptions().BatchSize,
		"`number` of messages that an invocation of the deliver function gets at most, as the setting batchSize on AWS")
}

func checkBatchSize(n int) error {
	if n < 1 || n > topology.MaxBatchSize {
		return fmt.Errorf("--batch-size must be 1 to %s, is %d", terminal.Number(topology.MaxBatchSize), n)
	}
	return nil
}

// upPage is the operator's page of `up`.
type upPage struct {
	*console.Console
	source *upsource.Source
}

// Run implements local.Page.
func (p upPage) Run(ctx context.Context) {
	defer p.source.Close()
	p.Console.Run(ctx)
}

// check refuses what would otherwise be noticed late, or only in the log.
func (f *upFlags) check() (names topology.Names, err error) {
	if f.segment != "" && f.latency != 0 {
		return names, errors.New("--latency is for the Segment emulator, which --segment replaces: remove one of them")
	}
	if err := f.checkConsole(); err != nil {
		return names, err
	}
	if err := usage.Latency(f.latency); err != nil {
		return names, err
	}
	if err := checkBatchSize(f.batchSize); err != nil {
		return names, err
	}
	if err := f.archive.check(); err != nil {
		return names, err
	}
	if err := usage.WriteKey(f.writeKey); err != nil {
		return names, err
	}
	if f.writeKeys != "" {
		if _, err := keyfile.Names(f.writeKeys); err != nil {
			return names, err
		}
	}
	if f.listen, err = parseListen(f.listen); err != nil {
		return names, err
	}
	if f.hosts, err = parseHosts(f.hosts); err != nil {
		return names, err
	}
	if err := f.checkPorts(); err != nil {
		return names, err
	}
	if names, err = topology.NewNames(f.name); err != nil {
		return names, fmt.Errorf("--name: %w", err)
	}
	return names, nil
}

// checkConsole refuses flags of the page that can't be followed.
func (f *upFlags) checkConsole() (err error) {
	switch {
	case !f.hasConsole && !f.console.any:
		return errors.New("--console-port is for the page that --console=false leaves out: remove one of them")
	case f.console.listen == "":
		return nil
	case !f.hasConsole:
		return errors.New("--console-listen is for the page that --console=false leaves out: remove one of them")
	}
	if f.console.listen, err = local.ParseListen(f.console.listen); err != nil {
		return fmt.Errorf("--console-listen %w", err)
	}
	return nil
}

// checkPorts refuses a port that is given twice: the second one would be in use, by this process.
func (f *upFlags) checkPorts() error {
	type flag struct {
		name string
		port uint16
	}
	taken := map[uint16]string{}
	flags := []flag{{"--sqs-port", f.sqsPort}, {"--ingest-port", f.ingestPort}}
	if f.segment == "" { // otherwise there is no emulator of Segment
		flags = append(flags, flag{"--segment-port", f.segmentPort})
	}
	if f.hasConsole && !f.console.any {
		flags = append(flags, flag{"--console-port", f.console.port})
	}
	for _, flag := range flags {
		if other, ok := taken[flag.port]; ok && flag.port != 0 {
			return fmt.Errorf("%s and %s are both %d: name a port of its own for each", other, flag.name, flag.port)
		}
		taken[flag.port] = flag.name
	}
	return nil
}

// parseListen checks --listen.
func parseListen(host string) (string, error) {
	host, err := local.ParseListen(host)
	if err != nil {
		return "", fmt.Errorf("--listen %w", err)
	}
	return host, nil
}

// warnExposed says who can reach a port that is not only for this machine.
func warnExposed(out io.Writer, host, can string) {
	if who := local.Exposed(host); who != "" {
		fmt.Fprintf(out, "Warning: %s %s, without credentials. By a host name they need --allow-host.\n\n", who, can)
	}
}

func address(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// greet says where everything is, and what to try first.
func greet(out io.Writer, p *local.Pipeline, names topology.Names, f upFlags) {
	events := p.QueueURL(names.EventsQueue)
	fmt.Fprintf(out, "Spillway is running. Press Ctrl-C to stop it. Accepted events are on disk in %s.\n\n", f.dataDir)
	if p.ConsoleURL != "" {
		fmt.Fprintf(out, "  operator's page   %s\n", p.ConsoleURL)
	}
	fmt.Fprintf(out, "  ingest endpoint   %s\n", p.IngestURL)
	fmt.Fprintf(out, "  SQS emulator      %s\n", p.SQSURL)
	fmt.Fprintf(out, "  events queue      %s\n", events)
	fmt.Fprintf(out, "  dead letters      %s\n", p.QueueURL(names.DeadLetterQueue))
	emulator := ""
	if p.Segmentd() != nil {
		emulator = " (emulator)"
	}
	fmt.Fprintf(out, "  Segment           %s%s\n", p.SegmentURL, emulator)
	if dir := p.Status().ArchiveDir; dir != "" { // absolute; the reader knows the data directory
		fmt.Fprintf(out, "  archive           %s\n", filepath.Join(f.dataDir, filepath.Base(dir)))
	}
	fmt.Fprintf(out, "  function's log    %s\n\n", p.LogPath)
	f.console.warn(out, p.ConsoleURL)
	warnExposed(out, f.listen, "can send events, read the events and dead letters, and delete them")
	if p.ConsoleURL != "" && f.console.listen != "" {
		warnExposed(out, f.console.listen, "can open the operator's page, read events there and change what is delivered")
	} else if p.ConsoleURL != "" && local.Exposed(f.listen) != "" {
		fmt.Fprint(out, "The operator's page can be opened on this machine only.\n\n")
	}
	if f.segment != "" && f.writeKey == "" {
		fmt.Fprint(out, "Messages without a write key are retried until there is one: set it with --write-key.\n\n")
	}
	for _, q := range p.OtherQueues {
		fmt.Fprintf(out, "The data directory also holds %s in the queue %s: start with --name %s to deliver them.\n\n",
			terminal.Plural(q.Messages, "message"), q.Name, q.Pipeline)
	}
	if !f.deliver {
		fmt.Fprint(out, "Events are only accepted: start again without --deliver=false to deliver them.\n\n")
	}
	suggest(out, p, f, events)
}

// suggest says what to try first. events is the URL of the events queue.
func suggest(out io.Writer, p *local.Pipeline, f upFlags, events string) {
	program := usage.Program(os.Args[0])
	queue := ""
	if events != queues.DefaultURL {
		queue = " --queue-url " + events
	}
	writeKey := "any-key"
	if f.writeKeys != "" {
		writeKey = "WRITE_KEY"
	}
	if p.ConsoleURL != "" {
		hint := "see there what happens"
		if p.Segmentd() != nil {
			hint += ", send sample events, and make Segment fail"
		}
		fmt.Fprintf(out, "Open %s in a browser: %s.\n", p.ConsoleURL, hint)
	}
	fmt.Fprintf(out, "Send an event from another terminal, as an SDK does:\n"+
		"  curl -u %s: %s/v1/track -d '{\"userId\":\"u1\",\"event\":\"Run Started\"}'\n", writeKey, p.IngestURL)
	fmt.Fprintf(out, "or as a program with an AWS SDK does (any credentials work):\n"+
		"  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_DEFAULT_REGION=%s "+
		"AWS_ENDPOINT_URL_SQS=%s\n"+ // without it boto3 asks AWS, whatever host the queue's URL names
		"  aws sqs send-message --endpoint-url %s --queue-url %s "+
		"--message-body '{\"type\":\"track\",\"userId\":\"u1\",\"event\":\"Run Started\"}'\n", // no file: the program may be all there is
		local.AccessKey, local.AccessKey, local.Region, p.SQSURL, p.SQSURL, events)
	fmt.Fprintf(out, "or many made-up events:\n  %s send --count 100000%s\n", program, queue)
	if p.Segmentd() != nil {
		fmt.Fprintf(out, "See what Segment received:\n  curl '%s/_segmentd/events?limit=3'\n", p.SegmentURL)
	}
	fmt.Fprintf(out, "Follow what happens to each event, list the dead letters, see who sends most, and what is wrong:\n"+
		"  %s tail%s\n  %[1]s dlq ls%[2]s\n  %[1]s top%[2]s\n  %[1]s doctor%[2]s\n", program, queue)
	if p.Status().ArchiveDir != "" {
		fmt.Fprintf(out, "Tell the story of a user's events, and count what of the last day can be sent again:\n"+
			"  %s why --user u1%s\n  %[1]s replay --from 24h --dry-run%[2]s\n", program, queue)
	}
	fmt.Fprintln(out)
}
