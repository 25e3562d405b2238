package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/awssource"
	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/jsonlog"
)

// A consolePort is the port of an operator's page. The page is for this machine only, unless listen
// says otherwise.
type consolePort struct {
	port   uint16
	any    bool   // take another one if it is in use
	listen string // as of local.ParseListen; empty: see address
}

const defaultConsolePort = 9326

func (p *consolePort) register(c *cobra.Command) {
	c.Flags().Uint16Var(&p.port, "console-port", defaultConsolePort,
		"`port` of the operator's page; 0 takes a free one, as it is without this flag if the default is in use")
}

// chosen reads whether the flag was given: who names a port wants no other.
func (p *consolePort) chosen(c *cobra.Command) { p.any = !c.Flags().Changed("console-port") }

// address is where the page is served, with the address of the other ports. It is a loopback
// address unless the page has one of its own: the page shows events and changes what is delivered,
// without credentials.
func (p *consolePort) address(listen string) string {
	if p.listen != "" {
		return address(p.listen, p.port)
	}
	if listen == "" || local.Exposed(listen) != "" {
		listen = "127.0.0.1"
	}
	return address(listen, p.port)
}

// warn says that the page is at another port than one looks for it.
func (p *consolePort) warn(out io.Writer, pageURL string) {
	if u, err := url.Parse(pageURL); err == nil && p.any && pageURL != "" && u.Port() != fmt.Sprint(p.port) {
		fmt.Fprintf(out, "Warning: port %d is in use, so the operator's page is at %s.\n\n", p.port, pageURL)
	}
}

type consoleFlags struct {
	pipeline deployed.Name
	queueURL string
	console  consolePort
}

func newConsole() *cobra.Command {
	var f consoleFlags
	c := &cobra.Command{
		Use:   "console",
		Short: "Serve the operator's page of a pipeline on AWS, or show where that of `spillway up` is",
		Long: usage.Help("The page shows what comes in, what waits, what is retried and why, alarms, and dead letters. "+
			"Open it in a browser on this machine: no other can reach it.",
			"With --name it serves the page of that pipeline on AWS until Ctrl-C, with your credentials: those of the AWS "+
				"tools. It reads CloudWatch, SQS and the functions' logs, once for all who watch, and shows what that has cost: "+
				"about $0.02 an hour while somebody watches. docs/console.md has a policy of the permissions; what your role may "+
				"not read is missing on the page, which then names the permission.",
			"Without --name it prints the address of the page of a running `spillway up`, which serves it itself."),
		Example: "  spillway console\n  spillway console --name spillway",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			if f.pipeline.Given() {
				return f.deployed(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
			}
			return f.local(c.Context(), c.OutOrStdout())
		},
	}
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL, "`URL` of the local pipeline's events queue")
	f.console.register(c)
	return c
}

func (f *consoleFlags) check(c *cobra.Command) error {
	f.console.chosen(c)
	switch {
	case f.pipeline.Given() && c.Flags().Changed("queue-url"):
		return errors.New("--queue-url is for the local pipeline, and --name for one on AWS: remove one of them")
	case !f.pipeline.Given() && c.Flags().Changed("console-port"):
		return errors.New("--console-port is for a page that this command serves, of a pipeline on AWS: `spillway up` has " +
			"a flag of this name")
	}
	return nil
}

// deployed serves the page of a pipeline on AWS until ctx ends.
func (f *consoleFlags) deployed(ctx context.Context, out, errOut io.Writer) error {
	names, err := f.pipeline.Names()
	if err != nil {
		return err
	}
	c, err := deployed.Config(ctx)
	if err != nil {
		return err
	}
	source, err := awssource.New(ctx, awssource.NewAPI(c), names, ".")
	if err != nil {
		return err
	}
	defer source.Close()
	l, err := local.ListenOrFree(f.console.address(""), "--console-port", f.console.any)
	if err != nil {
		return err
	}
	page := local.EndpointURL(l.Addr())
	f.console.warn(out, page)
	fmt.Fprintf(out, "operator's page  %s\n\nof the pipeline %s in %s, with your credentials. Ctrl-C ends it.\n", page,
		names.Pipeline, c.Region)
	err = local.ServePage(ctx, console.New(console.Config{Source: source}), l, jsonlog.New(errOut, nil))
	if cost := source.Cost(); cost != "" {
		fmt.Fprintf(out, "Reading has cost %s.\n", cost)
	}
	return err
}

// maxStatus bounds the status that is read, in bytes: something else may listen at the port of `up`.
const maxStatus = 1 << 20

// local asks a running pipeline for the address of its page.
func (f *consoleFlags) local(ctx context.Context, out io.Writer) error {
	endpoint, err := queues.Endpoint(f.queueURL)
	if err != nil {
		return err
	}
	if strings.HasSuffix(endpoint.Hostname(), ".amazonaws.com") {
		return errors.New("--queue-url must be of a running `spillway up`")
	}
	endpoint.Path = local.StatusPath
	var status local.Status
	err = queues.GetJSON(ctx, endpoint.String(), maxStatus, &status)
	if wrong := (*queues.AnswerError)(nil); err != nil && !errors.As(err, &wrong) {
		return queues.Explain(err, f.queueURL)
	}
	if page, wrong := url.Parse(status.ConsoleURL); err == nil && status.ConsoleURL != "" &&
		(wrong != nil || page.Scheme != "http" || page.Host == "") {
		err = fmt.Errorf("it says that the operator's page is at %q", status.ConsoleURL)
	}
	switch {
	case err != nil:
		return fmt.Errorf("read the status at %s: %w: is it a `spillway up` of this version?", endpoint, err)
	case status.ConsoleURL == "":
		return errors.New("the running `spillway up` serves no operator's page: it was started with --console=false, or " +
			"with a version of Spillway that has none: start it again without that flag")
	}
	fmt.Fprintln(out, status.ConsoleURL)
	return nil
}
