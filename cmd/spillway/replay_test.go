package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/archived"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
	"github.com/spillwayhq/spillway/shared/replay"
)

var (
	replayKills = flag.Int("replay-kills", 1, "how often to kill a replay")
	replayRate  = flag.Int("replay-rate", 100, "how many events a second such a replay sends, which has as many for each kill")
)

// withArchive starts a pipeline that has archived n delivered events with the messageIds m-0, m-1, …
func withArchive(t *testing.T, n int) (*local.Pipeline, *localtest.Arrivals) {
	t.Helper()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{Archive: &local.ArchiveBounds{Bytes: 1 << 30}, OnEvent: arrivals.Add})
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, `{"type":"track","userId":"user-%d","event":"Run Started","messageId":"m-%d","timestamp":"2026-01-01T00:00:00Z",`+
			`"properties":{"n":%d}}`+"\n", i%10, i, i)
	}
	if _, _, err := spillway(t.Context(), in.String(), "send", "--write-key=the-shop-key", queueFlag(p)); err != nil {
		t.Fatal(err)
	}
	await(t, "the archive", func() bool { return p.Status().Archive.Events == int64(n) })
	return p, arrivals
}

// lastLine is that of what a command has printed.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

func TestReplaySendsWhatItsDryRunCounts(t *testing.T) {
	t.Parallel()
	p, arrivals := withArchive(t, 50)
	replay := func(args ...string) string {
		t.Helper()
		out, _, err := spillway(t.Context(), "", append([]string{"replay", "--from=1h", queueFlag(p)}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := replay("--dry-run", "--user=user-3", "--event=Run Started"); lastLine(out) != "5 events match" {
		t.Errorf("a dry run says %s", out)
	}
	if sent := p.Status().Bulk.Sent; sent != 0 {
		t.Errorf("a dry run sent %d events", sent)
	}
	if out := replay("--user=user-3", "--transform=set properties.replayed=true", "--to-write-key=another-key"); !strings.Contains(out,
		"sent 5 events") {
		t.Errorf("replay says %s", out)
	}
	await(t, "the events", func() bool { return len(arrivals.Get("m-43")) == 2 && p.Status().Archive.Events == 55 })
	again := arrivals.Get("m-3")[1]
	if want := `"properties":{"n":3,"replayed":true}}`; again.WriteKey != "another-key" || !bytes.HasSuffix(again.Raw, []byte(want)) {
		t.Errorf("replayed to %s is %s", again.WriteKey, again.Raw)
	}
	if sent := p.Status().Bulk.Sent; sent != 5 {
		t.Errorf("%d events went to the bulk queue, want 5", sent)
	}
	out := replay("--dry-run", "--write-key=another-key")
	if lastLine(out) != "0 events match" || !strings.Contains(out, "left out 5 events that a replay has delivered") {
		t.Errorf("what was replayed is replayed again: %s", out)
	}
	if out := replay("--dry-run", "--write-key=another-key", "--include-replayed"); lastLine(out) != "5 events match" {
		t.Errorf("--include-replayed: %s", out)
	}
	if out := replay("--dry-run", "--user=nobody"); out != "0 events match\n" {
		t.Errorf("nobody: %s", out)
	}
	if out := replay("--to=30m"); out != "0 events match\n" {
		t.Errorf("another time: %s", out)
	}
}

func TestAnExportOfTheArchiveCanBeSent(t *testing.T) {
	t.Parallel()
	p, arrivals := withArchive(t, 20)
	file := filepath.Join(t.TempDir(), "out.ndjson")
	args := []string{"replay", "--from=1h", "--user=user-7", "--out=" + file, queueFlag(p)}
	if out, _, err := spillway(t.Context(), "", args...); err != nil || out != "exported 2 events\n" {
		t.Fatalf("%v, %s", err, out)
	}
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(lines) {
		var exported struct {
			Archived struct{ Outcome string }
			WriteKey string
			Batch    []json.RawMessage
		}
		if err := json.Unmarshal(line, &exported); err != nil || exported.Archived.Outcome != archive.Delivered ||
			exported.WriteKey != "the-shop-key" || len(exported.Batch) != 1 {
			t.Errorf("%v: %s", err, line)
		}
	}
	if _, _, err := spillway(t.Context(), "", args...); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("a file that exists is replaced: %v", err)
	}
	if out, _, err := spillway(t.Context(), string(lines), "send", queueFlag(p)); err != nil || !strings.HasPrefix(out, "sent 2 events") {
		t.Fatalf("%v, %s", err, out)
	}
	arrivals.Await(t, "the events again", func() bool { return len(arrivals.Get("m-7"))+len(arrivals.Get("m-17")) == 4 })
	if again := arrivals.Get("m-7")[1]; again.WriteKey != "the-shop-key" || string(again.Raw) != string(arrivals.Get("m-7")[0].Raw) {
		t.Errorf("sent again: %s to %s", again.Raw, again.WriteKey)
	}
	out, _, err := spillway(t.Context(), "", "replay", "--from=1h", "--user=user-7", "--out=-", queueFlag(p))
	if err != nil || strings.Count(out, "\n") != 2 {
		t.Errorf("%v, %s", err, out)
	}
}

func TestReplayRefusesWhatCanNotBeMeant(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--from must say from when on":                    {},
		"the range of times ends before it begins: --fr":  {"--from=1h", "--to=2h"},
		"the range of times is empty: --from is":          {"--from=2026-11-24", "--to=2026-11-24"},
		"the range of times is in the future: --from is":  {"--from=2999-01-01", "--to=2999-01-02"},
		"--from must be a time like":                      {"--from=Tuesday"},
		"--to must be a time, or how long ago":            {"--from=1h", "--to=-1h"},
		"--rate: the rate must be above 0":                {"--from=1h", "--rate=0"},
		"the outcome must be delivered or dead_lettered":  {"--from=1h", "--outcome=lost"},
		`unknown reason "lost"`:                           {"--from=1h", "--reason=lost"},
		"an edit must be like set properties.replayed":    {"--from=1h", "--transform=drop a"},
		"the write key to send with":                      {"--from=1h", "--to-write-key=a b"},
		"no event has an empty name":                      {"--from=1h", "--user="},
		"--resume goes on with what the replay was begun": {"--resume=x", "--from=1h"},
		"begun with: remove --write-keys":                 {"--resume=x", "--write-keys=keys.json"},
		"is `spillway up` running?":                       {"--from=1h", "--queue-url=http://127.0.0.1:1/000000000000/spillway-events"},
	} {
		if _, _, err := spillway(t.Context(), "", append([]string{"replay"}, args...)...); err == nil ||
			!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
	p := localtest.StartEager(t, local.Config{})
	if _, _, err := spillway(t.Context(), "", "replay", "--from=1h", queueFlag(p)); err == nil ||
		!strings.Contains(err.Error(), "keeps no archive") {
		t.Errorf("a pipeline without an archive: %v", err)
	}
}

func TestReplaySendsNothingWhileSegmentFails(t *testing.T) {
	t.Parallel()
	p, _ := withArchive(t, 10)
	if err := p.Segmentd().SetScript(segmentd.Script{Rules: []segmentd.Rule{{Status: 503}}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := spillway(t.Context(), "", "send", "--count=1", "--write-key=k", queueFlag(p)); err != nil {
		t.Fatal(err)
	}
	await(t, "a failure of Segment", func() bool { s := p.Status().Segment; return s.Failed > s.Answered })
	if out, _, err := spillway(t.Context(), "", "replay", "--from=1h", queueFlag(p)); err == nil || out != "" ||
		!strings.Contains(err.Error(), "calls to Segment are failing") || !strings.Contains(err.Error(), "--force") ||
		strings.Contains(err.Error(), "--resume") {
		t.Errorf("replayed while Segment fails: %v", err)
	}
	if out, _, err := spillway(t.Context(), "", "replay", "--from=1h", "--force", queueFlag(p)); err != nil || p.Status().Bulk.Sent != 10 {
		t.Errorf("--force: %v, %s", err, out)
	}
}

var replayID = regexp.MustCompile(`as replay (\S+)\n`)

// TestAKilledReplayGoesOn kills the program (kill -9) at random moments. What it sent after its last
// checkpoint is sent again; nothing else is, and nothing is missing.
func TestAKilledReplayGoesOn(t *testing.T) {
	t.Parallel()
	n := *replayRate + *replayRate**replayKills
	rate := fmt.Sprint("--rate=", *replayRate)
	p, arrivals := withArchive(t, n)
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	dir := filepath.Join(p.Status().ArchiveDir, "replay")
	id, again := "", int64(0) // again: events that were sent after a checkpoint, and so are again
	for kills := 0; ; kills++ {
		queueURL, end := throughAProxy(t, p)
		args := []string{"replay", "--from=1h", rate, queueURL}
		if id != "" {
			args = []string{"replay", "--resume=" + id, rate, queueURL}
		}
		before := max(0, checkpointed(t, dir, id))
		out, killed, err := runAndKill(t, args, kills < *replayKills, func(id string) {
			if kills%2 == 0 {
				await(t, "a checkpoint", func() bool { return checkpointed(t, dir, id) > before })
			}
			time.Sleep(time.Duration(rng.Int64N(int64(300 * time.Millisecond)))) // a random moment
		})
		end() // what the process has sent when it is killed may not be in the queue yet
		if err != nil {
			t.Fatalf("after %d kills: %v: %s", kills, err, out)
		}
		id = replayID.FindStringSubmatch(out)[1]
		if !killed {
			break
		}
		if checkpointed(t, dir, id) < 0 {
			id = "" // nothing was written, and so nothing sent
		}
		again = p.Status().Bulk.Sent - max(0, checkpointed(t, dir, id))
	}
	if got := p.Status().Bulk.Sent; got != int64(n)+again {
		t.Errorf("%d events were sent, want %d and %d after a checkpoint", got, n, again)
	}
	arrivals.Await(t, "all events a second time", func() bool {
		for i := range n {
			if len(arrivals.Get(fmt.Sprint("m-", i))) < 2 {
				return false
			}
		}
		return true
	})
	if _, _, err := spillway(t.Context(), "", "replay", "--resume="+id, queueFlag(p)); err == nil ||
		!strings.Contains(err.Error(), "the replay has finished") {
		t.Errorf("a replay that has finished is resumed: %v", err)
	}
	if _, _, err := spillway(t.Context(), "", "replay", "--resume=20260101T000000Z-000000", queueFlag(p)); err == nil ||
		!strings.Contains(err.Error(), "there is no such replay") {
		t.Errorf("an unknown replay is resumed: %v", err)
	}
}

// throughAProxy is queueFlag through a proxy, which forwards each call to its end, also one of a process
// that is killed meanwhile. end returns when the SQS emulator has ended all of them.
func throughAProxy(t *testing.T, p *local.Pipeline) (queueFlag string, end func()) {
	t.Helper()
	target, err := url.Parse(p.SQSURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		proxy.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	return "--queue-url=" + local.QueueURL(server.URL, topology.DefaultNames().EventsQueue), server.Close
}

// checkpointed is how many events a replay's checkpoint says were sent; negative if there is not even
// its plan.
func checkpointed(t *testing.T, dir, id string) int64 {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, id+".json")); err != nil {
		return -1
	}
	data, err := os.ReadFile(filepath.Join(dir, id+".progress.json"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	var c struct{ Sent int64 }
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.Sent
}

// runAndKill runs a command in a process of its own, and kills it once it has said which replay it is
// and wait has returned.
func runAndKill(t *testing.T, args []string, kill bool, wait func(id string)) (out string, killed bool, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	said := &said{heard: make(chan struct{})}
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	if !kill {
		err := <-ended
		return said.String(), false, err
	}
	select {
	case <-said.heard:
	case err := <-ended:
		return said.String(), false, err
	}
	wait(replayID.FindStringSubmatch(said.String())[1])
	select {
	case err := <-ended:
		return said.String(), false, err
	default:
	}
	_ = c.Process.Kill()
	<-ended
	return said.String(), true, nil
}

// said is what a process has said; heard is closed once it says that it sends.
type said struct {
	mu    sync.Mutex
	text  bytes.Buffer
	once  sync.Once
	heard chan struct{}
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if replayID.Match(s.text.Bytes()) {
		s.once.Do(func() { close(s.heard) })
	}
	return len(p), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestReplayOfAPipelineOnAWSReadsItsBucket(t *testing.T) {
	withoutAWS(t)
	names := topology.DefaultNames()
	p := localtest.Start(t, local.Config{Hold: true})
	bucket := s3test.New()
	now := time.Now().UTC().Add(-time.Minute).Truncate(time.Millisecond)
	packer, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		packer.Add(&archive.Record{Time: now, Outcome: archive.Delivered, WriteKey: "wk",
			Event: fmt.Appendf(nil, `{"type":"track","userId":"u","event":"E","messageId":"m-%d","timestamp":"2026-01-01T00:00:00Z"}`, i)}, i)
	}
	bucket.Set("the-archive", archive.Prefix+now.Format(archive.HourFormat)+"/spillway-archive-1"+archive.Extension,
		packer.Frames()[0].Data)
	outputs := map[string]string{topology.OutputEventsQueueURL: p.QueueURL(names.EventsQueue),
		topology.OutputBulkQueueURL: p.QueueURL(names.BulkQueue), topology.OutputArchiveBucket: "the-archive"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/" {
			bucket.ServeHTTP(w, r)
			return
		}
		if r.FormValue("StackName") != names.Stack(local.Region) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `<E><Error><Code>ValidationError</Code><Message>Stack does not exist</Message></Error></E>`)
			return
		}
		_, _ = fmt.Fprint(w, `<R><DescribeStacksResult><Stacks><member><Outputs>`)
		for key, value := range outputs {
			fmt.Fprintf(w, `<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>`, key, value)
		}
		_, _ = fmt.Fprint(w, `</Outputs></member></Stacks></DescribeStacksResult></R>`)
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_SQS": p.SQSURL,
		"AWS_MAX_ATTEMPTS": "1", "AWS_REGION": local.Region, "AWS_ACCESS_KEY_ID": local.AccessKey,
		"AWS_SECRET_ACCESS_KEY": local.AccessKey} {
		t.Setenv(name, value)
	}
	out, warned, err := spillway(t.Context(), "", "replay", "--name=spillway", "--from=1h", "--force")
	if err != nil || !strings.Contains(out, "sent 3 events") || !strings.Contains(warned, "what ended in the last 15 min") {
		t.Errorf("%v, %s%s", err, out, warned)
	}
	if sent := p.Status().Bulk.Sent; sent != 3 {
		t.Errorf("%d events are in the bulk queue, want 3", sent)
	}
	bucket.Fail(s3test.Status(http.StatusForbidden, "AccessDenied", http.MethodGet, ""))
	if _, _, err := spillway(t.Context(), "", "replay", "--name=spillway", "--from=1h"); err == nil ||
		!strings.Contains(err.Error(), "AccessDenied") || !strings.Contains(err.Error(), "s3:ListBucket") {
		t.Errorf("a bucket without permission: %v", err)
	}
	bucket.Fail(s3test.Status(http.StatusForbidden, "AccessDenied", http.MethodPut, ""))
	replay := []string{"replay", "--name=spillway", "--from=1h", "--force"}
	if _, _, err := spillway(t.Context(), "", replay...); err == nil ||
		!strings.Contains(err.Error(), "s3:PutObject") || !strings.Contains(err.Error(), "--checkpoint-dir") {
		t.Errorf("a bucket that can't be written: %v", err)
	}
	if sent := p.Status().Bulk.Sent; sent != 3 {
		t.Errorf("%d events are in the bulk queue, want 3: nothing is sent without a checkpoint", sent)
	}
	dir := filepath.Join(t.TempDir(), "checkpoints")
	replay = append(replay, "--checkpoint-dir="+dir)
	if out, _, err := spillway(t.Context(), "", replay...); err != nil || !strings.Contains(out, "sent 3 events") {
		t.Errorf("with a checkpoint on this machine: %v, %s", err, out)
	} else if _, _, err := spillway(t.Context(), "", "replay", "--name=spillway", "--resume="+replayID.FindStringSubmatch(out)[1],
		"--checkpoint-dir="+dir); err == nil || !strings.Contains(err.Error(), "has finished") {
		t.Errorf("the checkpoint in the directory: %v", err)
	}
	bucket.Fail(nil)
	delete(outputs, topology.OutputArchiveBucket)
	if _, _, err := spillway(t.Context(), "", "replay", "--name=spillway", "--from=1h"); err == nil ||
		!strings.Contains(err.Error(), "keeps no archive: deploy it with -c archive=true") {
		t.Errorf("a pipeline without an archive: %v", err)
	}
	if _, _, err := spillway(t.Context(), "", "replay", "--name=other", "--from=1h"); err == nil ||
		!strings.Contains(err.Error(), "there is no stack other-"+local.Region) {
		t.Errorf("a pipeline that does not exist: %v", err)
	}
}

func TestAnInterruptedReplaySaysHowToGoOn(t *testing.T) {
	t.Parallel()
	p, _ := withArchive(t, 30)
	out, stop := inBackground(t, "replay", "--from=1h", "--rate=2", queueFlag(p))
	await(t, "the first events", func() bool { return p.Status().Bulk.Sent > 0 })
	err := stop()
	id := replayID.FindStringSubmatch(out.String())[1]
	if want := "to go on: spillway replay --resume " + id + " --queue-url '" + strings.TrimPrefix(queueFlag(p), "--queue-url=") + "'"; err == nil ||
		!strings.HasSuffix(err.Error(), want) {
		t.Errorf("an interruption says %v, want %s", err, want)
	}
	again, _, err := spillway(t.Context(), "", "replay", "--resume="+id, "--rate=1000", queueFlag(p))
	sent := regexp.MustCompile(`sent (\d+) events? to the bulk queue in [^,\n]*(?:, and (\d+) before the interruption)?\n`).FindStringSubmatch(again)
	if err != nil || sent == nil {
		t.Fatalf("resumed: %v, %s", err, again)
	}
	now, _ := strconv.Atoi(sent[1])
	before, _ := strconv.Atoi("0" + sent[2])
	if now+before != 30 {
		t.Errorf("%d events were sent before the interruption, and %d after it, want 30 in all", before, now)
	}
}

func TestARunThatAnotherHasTakenOverIsNotToBeResumed(t *testing.T) {
	w, err := dirstore.OpenWriter(t.TempDir(), dirstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	now := time.Now()
	r, err := replay.New(t.Context(), w.Store(), w.Store(), "spillway", replay.NewID(now),
		replay.Options{Selection: replay.Selection{From: now.Add(-time.Hour), To: now}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Send(t.Context(), replay.SendOptions{Rate: 1}); err != nil || !r.Begun() {
		t.Fatal(err)
	}
	p := &archived.Pipeline{BulkURL: "http://localhost:1/000000000000/spillway-bulk"}
	var f replayFlags
	f.Register(&cobra.Command{})
	said := f.explain(replay.ErrTakenOver, p, r).Error()
	if !strings.Contains(said, "another run") || strings.Contains(said, "--resume") {
		t.Error(said)
	}
}
