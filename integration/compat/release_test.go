package compat

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	localsqs "github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

var (
	releases = flag.String("releases", "", "`which` versions to build and to run beside this one: last or all; "+
		"empty: none, because it takes a minute")
	messages = flag.Int("release-messages", 10000, "`number` of messages in each direction")
)

// timeFactor is by how much the visibility timeouts of production are shortened.
const timeFactor = 360

// The last version and this one run on one queue and on one directory, as in an upgrade, a
// roll-back, and while a deployment has a tenth of the traffic. Their processes are killed in the
// middle.
func TestTheLastVersionAndThisOneRunBesideEachOther(t *testing.T) {
	for _, s := range chosen(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			old := s.built(t)
			t.Run("what it writes is read by this one", func(t *testing.T) { s.beside(t, old, head) })
			t.Run("what this one writes is read by it", func(t *testing.T) { s.beside(t, head, old) })
			t.Run("both write and both read", func(t *testing.T) {
				t.Parallel()
				onOneQueue(t, []version{old, head}, []version{old, head})
			})
		})
	}
}

// beside lets one version write what another one reads.
func (s *sample) beside(t *testing.T, writes, reads version) {
	t.Parallel()
	parallel := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t) })
	}
	parallel("queue", func(t *testing.T) { onOneQueue(t, []version{writes}, []version{reads}) })
	parallel("directory of a publisher", func(t *testing.T) { onOneDirectory(t, apiOf, writes, reads) })
	if s.has(ingestDirFile) {
		parallel("directory of ingest", func(t *testing.T) { onOneDirectory(t, ingestOf, writes, reads) })
	}
	if s.Unread[dataDirFile] == "" {
		parallel("data directory", func(t *testing.T) { onOneDataDirectory(t, writes, reads) })
	}
}

// chosen are the versions that -releases names.
func chosen(t *testing.T) []*sample {
	all := samples(t)
	slices.SortFunc(all, func(a, b *sample) int { return strings.Compare(a.Written, b.Written) })
	switch *releases {
	case "":
		t.Skip("builds the programs of the last version: -releases last does so, as .ci/run does")
	case "last":
		return all[len(all)-1:]
	case "all":
		return all
	}
	t.Fatalf("-releases must be last or all, is %q", *releases)
	return nil
}

// built builds the version's programs from its commit.
func (s *sample) built(t *testing.T) version {
	t.Helper()
	root := filepath.Join("..", "..")
	if out, err := exec.Command("git", "-C", root, "cat-file", "-e", s.Commit+"^{commit}").CombinedOutput(); err != nil {
		t.Fatalf("the commit %s of %s is not in this clone: get the history with git fetch --unshallow\n%s", s.Commit, s.Name,
			out)
	}
	sources, programs := t.TempDir(), t.TempDir()
	const script = `git -C "$0" archive "$1" | tar -x -C "$2" && cd "$2" &&
go build -buildvcs=false -o "$3/" ./cmd/spillway ./integration/exampleapi &&
go build -buildvcs=false -tags lambda.norpc -o "$3/" ./functions/ingest ./functions/deliver`
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", "-o", "pipefail", "-c", script, root, s.Commit, sources,
		programs).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", s.Name, err, out)
	}
	return builtIn(s.Name, programs)
}

// A server is a process that a test kills and starts again.
type server struct {
	start func() (url string, p *testutil.Process)
	url   atomic.Pointer[string]
	p     *testutil.Process
}

func serve(start func() (url string, p *testutil.Process)) *server {
	s := &server{start: start}
	s.again()
	return s
}

func (s *server) again() {
	url, p := s.start()
	s.p = p
	s.url.Store(&url)
}

// A load is events that are posted until each was accepted: to servers that are killed meanwhile.
type load struct {
	ids      []string
	accepted atomic.Int64
	running  sync.WaitGroup
}

// senders post at the same time, each with a write key of its own, so that no two of their requests
// share a message.
const senders = 32

// begin begins to post n events to the servers in turns.
func begin(t *testing.T, prefix string, n int, to ...*server) *load {
	l := &load{}
	for i := range n {
		l.ids = append(l.ids, fmt.Sprint(prefix, "-", i))
	}
	var next atomic.Int64
	for sender := range senders {
		l.running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || t.Context().Err() != nil {
					return
				}
				l.post(t.Context(), to[i%len(to)], fmt.Sprint("key-", sender), l.ids[i])
			}
		})
	}
	return l
}

func (l *load) post(ctx context.Context, to *server, key, id string) {
	for ctx.Err() == nil {
		url := *to.url.Load()
		var err error
		if strings.HasSuffix(url, "/runs") {
			err = post(ctx, url+"?id="+id, "", "a note")
		} else {
			err = post(ctx, url, key, fmt.Sprintf(track, id))
		}
		if err == nil {
			l.accepted.Add(1)
			return
		}
		select { // the server is killed, and starts again
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// kills is how often each process is killed under a load.
const kills = 3

// killWhile kills processes while a load runs, and waits for its end.
func (l *load) killWhile(t *testing.T, kill ...func()) {
	t.Helper()
	for round := range kills {
		await(t, "a part of the load", func() bool { return int(l.accepted.Load()) >= len(l.ids)*(round+1)/(kills+1) })
		for _, k := range kill {
			k()
		}
	}
	l.running.Wait()
	if int(l.accepted.Load()) != len(l.ids) {
		t.Fatalf("%d of %d events were accepted", l.accepted.Load(), len(l.ids))
	}
}

func (s *server) kill() {
	s.p.Kill()
	s.again()
}

// onOneQueue lets ingest and publishers of some versions write to a queue, and deliver of some
// versions read it.
func onOneQueue(t *testing.T, writes, reads []version) {
	arrivals := localtest.NewArrivals()
	_, segmentURL := localtest.Segment(t,
		segmentd.Options{Latency: time.Millisecond, OnEvent: arrivals.Add, EventLimit: -1})
	sqsServer, endpoint := localtest.SQS(t)
	quick := topology.Default()
	for i := range quick.Queues {
		quick.Queues[i].VisibilityTimeout /= timeFactor
	}
	for i := range quick.EventSources {
		quick.EventSources[i].BatchSize, quick.EventSources[i].BatchingWindow = 10, 0 // many invocations to be killed in
	}
	if err := local.CreateQueues(sqsServer, &quick); err != nil {
		t.Fatal(err)
	}
	events, _ := sqsServer.Queue(quick.Names.EventsQueue)
	dead, _ := sqsServer.Queue(quick.Names.DeadLetterQueue)

	var entries, apis []*server
	for _, v := range writes {
		entries = append(entries, serve(func() (string, *testutil.Process) {
			url, p := v.ingestServer(t, endpoint)
			return url + "/v1/track", p
		}))
		dir := t.TempDir()
		apis = append(apis, serve(func() (string, *testutil.Process) { return apiOf(t, v, endpoint, dir) }))
	}
	var killers []func()
	for _, v := range reads {
		killers = append(killers, deliverBy(t, v, &quick, sqsServer, endpoint, segmentURL))
	}
	for _, s := range slices.Concat(entries, apis) {
		killers = append(killers, s.kill)
	}
	byIngest, byPublisher := begin(t, "ingest", *messages, entries...), begin(t, "api", *messages/4, apis...)
	byIngest.killWhile(t, killers...)
	byPublisher.running.Wait()
	everyEvent(t, arrivals, slices.Concat(byIngest.ids, byPublisher.ids))
	if n := dead.Stats().Visible; n > 0 {
		t.Errorf("%d messages became dead letters", n)
	}
	sent := events.Stats().Sent
	t.Logf("%d events in %d messages", len(byIngest.ids)+len(byPublisher.ids), sent)
	if sent < int64(*messages) {
		t.Errorf("%d messages were sent, want at least %d", sent, *messages)
	}
}

// deliverBy feeds a version's function from the queues, and returns what kills its oldest
// environment.
func deliverBy(t *testing.T, v version, quick *topology.Topology, queues *localsqs.Server, endpoint,
	segmentURL string) (kill func()) {
	t.Helper()
	started := make(chan int, 1000)
	environment := localtest.Environment
	if v.name == head.name { // versions before it know no bulk queue
		environment = localtest.DeliverEnvironment
	}
	delivery, err := local.NewDelivery(quick, local.FeedFrom(queues), lambda.Process(lambda.ProcessConfig{
		Path: v.build(t, deliver), OnStart: func(pid int) { started <- pid },
		Env: environment(endpoint, "SPILLWAY_SEGMENT_ENDPOINT="+segmentURL, "SPILLWAY_WRITE_KEY=test"),
	}), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := delivery.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		delivery.Function.Close()
	})
	return func() { _ = syscall.Kill(<-started, syscall.SIGKILL) } // it may have ended by itself
}

// everyEvent waits for events, and checks that no others came, and that duplicates are equal.
func everyEvent(t *testing.T, arrivals *localtest.Arrivals, ids []string) {
	t.Helper()
	arrivals.Await(t, "all events", func() bool { return arrivals.Distinct() >= len(ids) })
	for _, id := range ids {
		forms := arrivals.Get(id)
		if len(forms) == 0 {
			t.Fatalf("the event %s was accepted and did not arrive", id)
		}
		for _, f := range forms {
			if !json.Valid(f.Raw) || f.WriteKey != forms[0].WriteKey {
				t.Fatalf("the event %s arrived as %s for %s, and as %s for %s", id, f.Raw, f.WriteKey, forms[0].Raw,
					forms[0].WriteKey)
			}
		}
	}
	if n := arrivals.Distinct(); n != len(ids) {
		t.Errorf("%d different events arrived, %d were accepted", n, len(ids))
	}
}

// A starter starts a program with a directory for what the queue at an endpoint does not take.
type starter func(t testing.TB, v version, endpoint, dir string) (url string, p *testutil.Process)

func apiOf(t testing.TB, v version, endpoint, dir string) (string, *testutil.Process) {
	url, p := v.api(t, local.QueueURL(endpoint, topology.DefaultNames().EventsQueue), dir)
	return url + "/runs", p
}

func ingestOf(t testing.TB, v version, endpoint, dir string) (string, *testutil.Process) {
	url, p := v.ingestServer(t, endpoint, "SPILLWAY_SPILL_DIR="+dir)
	return url + "/v1/track", p
}

// onOneDirectory lets one version write its directory while the queue is away, and another one take
// it over: it adds to it, and sends what is in it when the queue is back. All are killed.
func onOneDirectory(t *testing.T, start starter, writes, takesOver version) {
	dir := t.TempDir()
	ids := []string{}
	for i, v := range []version{writes, takesOver} {
		n := *messages
		if i == 1 {
			n /= 10
		}
		s := serve(func() (string, *testutil.Process) { return start(t, v, away, dir) })
		l := begin(t, fmt.Sprint("v", i), n, s)
		l.killWhile(t, s.kill)
		ids = append(ids, l.ids...)
		s.p.Kill()
	}
	arrivals := localtest.NewArrivals()
	p := localtest.Start(t, local.Config{OnEvent: arrivals.Add})
	s := serve(func() (string, *testutil.Process) { return start(t, takesOver, p.SQSURL, dir) })
	arrivals.Await(t, "a part of the events", func() bool { return arrivals.Distinct() > len(ids)/3 })
	s.kill()
	everyEvent(t, arrivals, ids)
	for line := range strings.Lines(s.p.Log.String()) { // a record that can't be read is logged, and not sent
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "corrupt") {
			t.Errorf("it logged %s", line)
		}
	}
}

// onOneDataDirectory lets one version's `up` accept messages and be killed, and another one deliver
// them, which is killed too; the first one again, and the other one to the end.
func onOneDataDirectory(t *testing.T, writes, reads version) {
	arrivals := localtest.NewArrivals()
	_, segmentURL := localtest.Segment(t,
		segmentd.Options{Latency: 5 * time.Millisecond, OnEvent: arrivals.Add, EventLimit: -1})
	dir := t.TempDir()
	var p *pipeline
	up := func(v version, args ...string) *server {
		return serve(func() (string, *testutil.Process) {
			p = v.up(t, dir, append(args, "--segment="+segmentURL)...)
			return p.ingestURL + "/v1/track", p.Process
		})
	}
	s := up(writes, "--deliver=false")
	l := begin(t, "data", *messages, s)
	l.killWhile(t, s.kill)
	s.p.Kill()
	for i, v := range []version{reads, writes} {
		s := up(v)
		arrivals.Await(t, "a part of the events", func() bool { return arrivals.Distinct() > len(l.ids)*(i+1)/3 })
		s.p.Kill()
	}
	up(reads)
	everyEvent(t, arrivals, l.ids)
	list := reads.mustRun(t, "", "dlq", "ls", "--json", "--queue-url="+p.queueURL)
	if got := reasonsIn(t, list); len(got) > 0 {
		t.Errorf("dead letters: %v", got)
	}
	for line := range strings.Lines(logOf(t, dir)) {
		if strings.Contains(line, "damage") || strings.Contains(line, "corrupt") {
			t.Errorf("it logged %s", line)
		}
	}
}

// logOf is the log of a pipeline.
func logOf(t testing.TB, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "deliver.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
