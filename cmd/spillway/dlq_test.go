package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/event"
)

// withDeadLetters starts a pipeline that has dead letters: three events that Segment rejects, one
// that breaks its rules, a body that is not JSON, and one that was made by hand.
func withDeadLetters(t *testing.T) *local.Pipeline {
	t.Helper()
	p := localtest.StartEager(t, local.Config{WriteKey: "the-default-key"})
	script := segmentd.Script{}
	for _, id := range []string{"poison-1", "poison-2", "poison-3"} {
		script.Rules = append(script.Rules, segmentd.Rule{Match: segmentd.Match{MessageID: id}, Status: 400})
	}
	if err := p.Segmentd().SetScript(script); err != nil {
		t.Fatal(err)
	}
	in := ""
	for _, id := range []string{"good-1", "poison-1", "good-2", "poison-2", "poison-3"} {
		in += `{"type":"track","userId":"u","event":"Run Started","messageId":"` + id +
			`","timestamp":"2026-01-01T00:00:00Z"}` + "\n"
	}
	in += `{"type":"track","userId":"u"}` + "\n"
	if _, _, err := spillway(t.Context(), in, "send", "--write-key=the-shop-key", queueFlag(p)); err != nil {
		t.Fatal(err)
	}
	put(t, p, topology.DefaultNames().EventsQueue, "no JSON")
	put(t, p, topology.DefaultNames().DeadLetterQueue, `{"type":"track","userId":"u","event":"By Hand"}`)
	await(t, "the dead letters", func() bool { return p.Status().DeadLetters == 6 && p.Status().Delivered == 2 })
	return p
}

// keyNames returns a write-key document with the name of the key that withDeadLetters uses.
func keyNames(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(`{"writeKeys":[{"name":"shop web","writeKey":"the-shop-key"}]}`),
		0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// listed is what ls --json says.
type listed struct {
	DeadLetters, Copies int
	Groups              []deadletter.Group
	List                []deadletter.Entry
}

func ls(t *testing.T, p *local.Pipeline, args ...string) (l listed) {
	t.Helper()
	out, _, err := spillway(t.Context(), "", append([]string{"dlq", "ls", "--json", queueFlag(p)}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return l
}

func TestLsCountsDeadLettersByReasonAndWriteKey(t *testing.T) {
	t.Parallel()
	p := withDeadLetters(t)
	l := ls(t, p, "--write-keys="+keyNames(t))
	got := map[string]int{}
	for _, g := range l.Groups {
		got[g.Reason+", "+g.WriteKey] = g.Events
	}
	for what, n := range map[string]int{"rejected, shop web": 3, "invalid, shop web": 1, "undecodable, unreadable": 1,
		"not given, default": 1} {
		if got[what] != n {
			t.Errorf("%s: %d events, want %d of %v", what, got[what], n, got)
		}
	}
	if l.DeadLetters != 6 || len(l.List) != 6 {
		t.Errorf("%d dead letters, %d listed", l.DeadLetters, len(l.List))
	}
	if again := ls(t, p); again.DeadLetters != 6 || again.Groups[0].WriteKey != event.KeyID("the-shop-key") {
		t.Errorf("at once again, without names: %+v", again)
	}
	if some := ls(t, p, "--reason=rejected", "--limit=2"); some.DeadLetters != 3 || len(some.List) != 2 ||
		len(some.Groups) != 1 {
		t.Errorf("by reason: %+v", some)
	}
	for flag, want := range map[string]int{"--event=By Hand": 1, "--event=nothing": 0, "--user=nobody": 0,
		"--id=" + l.List[0].ID: 1, "--id=x": 0} {
		if some := ls(t, p, flag); some.DeadLetters != want {
			t.Errorf("%s: %d dead letters, want %d", flag, some.DeadLetters, want)
		}
	}
	if none := ls(t, p, "--older-than=1h"); none.DeadLetters != 0 || none.Groups == nil || none.List == nil {
		t.Errorf("by age: %+v", none)
	}
	table, _, err := spillway(t.Context(), "", "dlq", "ls", queueFlag(p), "--limit=1")
	if err != nil || !strings.Contains(table, "… and 5 more: --limit 0 lists all.") {
		t.Errorf("%v, printed:\n%s", err, table)
	}
}

func TestShowPrintsTheEventWithoutTheWriteKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, want, format string }{
		{"rejected", "poison-", "--json=false"}, {"invalid", "event_not_defined", "--json"},
		{"undecodable", "no JSON", "--json=false"}, {"not given", "By Hand", "--json"},
	} {
		t.Run(c.reason, func(t *testing.T) { // with a queue of its own, because showing takes a second
			t.Parallel()
			p := withDeadLetters(t)
			l := ls(t, p, "--reason="+c.reason, "--limit=1")
			if len(l.List) != 1 {
				t.Fatalf("listed: %+v", l)
			}
			id := l.List[0].ID
			out, _, err := spillway(t.Context(), "", "dlq", "show", id, c.format, queueFlag(p), "--write-keys="+keyNames(t))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out, c.want) || !strings.Contains(out, id) || strings.Contains(out, "the-shop-key") {
				t.Errorf("with %s:\n%s", c.format, out)
			}
		})
	}
}

func TestErrorsOfDLQAreOneLineThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	p := withDeadLetters(t)
	other, err := localtest.Client(p.SQSURL).CreateQueue(t.Context(),
		&sqs.CreateQueueInput{QueueName: aws.String("other")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no such queue", []string{"ls", queueFlag(p) + "x"}, "does not exist"},
		{"a queue without dead letters", []string{"ls", "--queue-url=" + p.QueueURL(topology.DefaultNames().DeadLetterQueue)},
			"give " + p.QueueURL(topology.DefaultNames().EventsQueue)},
		{"a queue without a dead-letter queue", []string{"ls", "--queue-url=" + aws.ToString(other.QueueUrl)},
			"has no dead-letter queue"},
		{"no such dead-letter queue", []string{"ls", queueFlag(p), "--dead-letter-queue-url=" + p.QueueURL("nothing")},
			"does not exist"},
		{"no such reason", []string{"ls", queueFlag(p), "--reason=rejectd"},
			`the reasons are "expired", "invalid", "moved by SQS", "not given", "panic", "rejected", "too_large", "undecodable"`},
		{"no such dead letter", []string{"show", "x", queueFlag(p)}, "`spillway dlq ls --limit 0` lists all"},
		{"no dead letter named", []string{"show"}, "give the ID of one dead letter"},
		{"an impossible age", []string{"ls", "--older-than=3h", "--newer-than=2h"}, "swap their values"},
		{"a negative age", []string{"ls", "--older-than=-3h"}, "must not be negative"},
		{"an age that is not a duration", []string{"ls", "--older-than=yesterday"}, "must be a duration like"},
		{"a negative limit", []string{"ls", "--limit=-1"}, "0 lists all"},
		{"a rate that sends nothing", []string{"redrive", "--rate=0"}, "must be above 0 events per second"},
		{"a rate that is not a number", []string{"redrive", "--rate=fast"}, "must be a number"},
		{"dead letters and nowhere to send them",
			[]string{"redrive", "--dead-letter-queue-url=" + p.QueueURL(topology.DefaultNames().DeadLetterQueue)},
			"give the events queue, too, with --queue-url"},
		{"a redrive of nothing", []string{"redrive", queueFlag(p), "--reason=rejectd"},
			`the reasons are "expired", "invalid"`},
		{"no write-key document", []string{"ls", "--write-keys=/does/not/exist"}, "--write-keys"},
	} {
		t.Run(c.name, func(t *testing.T) { dlqFails(t, c.want, c.args...) })
	}
}

// dlqFails checks that a command of dlq fails with one line that has a text.
func dlqFails(t *testing.T, want string, args ...string) {
	t.Helper()
	_, _, err := spillway(t.Context(), "", append([]string{"dlq"}, args...)...)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want an error with %q", err, want)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

// It takes some seconds of retries, during which the other tests run.
func TestADeadLetterQueueWhereNothingListensIsAnError(t *testing.T) {
	t.Parallel()
	dlqFails(t, "is `spillway up` running?", "ls", "--queue-url="+unreachableQueue(t))
}

func TestAReasonThatNoDeadLetterHasNowIsNotAnError(t *testing.T) {
	t.Parallel()
	for verb, args := range map[string][]string{"ls": nil, "export": nil, "drop": {"--yes"}, "redrive": {"--force"}} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			p := localtest.Start(t, local.Config{Hold: true})
			put(t, p, topology.DefaultNames().DeadLetterQueue, `{"type":"track","userId":"u","event":"By Hand"}`)
			_, _, err := spillway(t.Context(), "", append([]string{"dlq", verb, queueFlag(p), "--reason=expired"}, args...)...)
			if err != nil {
				t.Error(err)
			}
			if n := p.Status().DeadLetters; n != 1 {
				t.Errorf("%d dead letters are left of one", n)
			}
		})
	}
}

func TestLsOfAnEmptyQueueIsNotAnError(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	if out, _, err := spillway(t.Context(), "", "dlq", "ls", queueFlag(p)); err != nil ||
		!strings.Contains(out, "There are no dead letters.") {
		t.Errorf("printed %q: %v", out, err)
	}
}

func delivered(p *local.Pipeline) (ids []string) {
	for _, e := range p.Segmentd().Events(segmentd.Query{}) {
		ids = append(ids, e.MessageID)
	}
	slices.Sort(ids)
	return ids
}

func TestRedriveSendsOnlyWhatSegmentMayNowAccept(t *testing.T) {
	t.Parallel()
	p := withDeadLetters(t)
	redrive := func(args ...string) string {
		t.Helper()
		out, _, err := spillway(t.Context(), "", append([]string{"dlq", "redrive", queueFlag(p)}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const skipped = "skipped 1 dead letter with the reason invalid, which would become dead letters again; " +
		"to send them: --reason invalid\n" +
		"skipped 1 dead letter with the reason undecodable, which would become dead letters again; " +
		"to send them: --reason undecodable\n"
	if out := redrive("--dry-run"); out != "4 dead letters with 4 events would be sent again\n"+skipped {
		t.Errorf("the dry run printed:\n%s", out)
	}
	if err := p.Segmentd().SetScript(segmentd.Script{}); err != nil {
		t.Fatal(err)
	}
	if out := redrive(); !strings.HasPrefix(out, "4 dead letters with 4 events sent again in ") ||
		!strings.HasSuffix(out, skipped) {
		t.Errorf("it printed:\n%s", out)
	}
	await(t, "the events", func() bool { return p.Status().Delivered == 6 })
	if s := p.Status(); s.Bulk.Sent != 4 {
		t.Errorf("%d events went to the bulk queue, want the 4 that were redriven", s.Bulk.Sent)
	}
	ids := delivered(p)
	if len(ids) != 6 || !slices.Contains(ids, "poison-1") || !slices.Contains(ids, "poison-2") ||
		!slices.Contains(ids, "poison-3") {
		t.Errorf("delivered: %v", ids)
	}
	before := ls(t, p)
	if out := redrive("--reason=undecodable"); !strings.HasPrefix(out, "1 dead letter with 1 event sent again") {
		t.Errorf("it printed:\n%s", out)
	}
	await(t, "it comes back", func() bool { s := p.Status(); return s.DeadLetters == 2 && s.Bulk.Backlog == 0 })
	after := ls(t, p)
	for i := range after.List {
		after.List[i].LastSeen = before.List[i].LastSeen
	}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("a dead letter that came back is not the same: %+v, %+v", before, after)
	}
}

// A pipeline that an earlier version runs has no bulk queue.
func TestWithoutABulkQueueARedriveGoesToTheEventsQueue(t *testing.T) {
	t.Parallel()
	server, url := localtest.SQS(t)
	n := topology.DefaultNames()
	d := topology.Default()
	d.Queues = slices.DeleteFunc(d.Queues, func(q topology.Queue) bool { return q.Name == n.BulkQueue })
	if err := local.CreateQueues(server, &d); err != nil {
		t.Fatal(err)
	}
	client := localtest.Client(url)
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl:    aws.String(local.QueueURL(url, n.DeadLetterQueue)),
		MessageBody: aws.String(`{"type":"track","userId":"u","event":"E","messageId":"m"}`)}); err != nil {
		t.Fatal(err)
	}
	flag := "--queue-url=" + local.QueueURL(url, n.EventsQueue)
	out, errOut, err := spillway(t.Context(), "", "dlq", "redrive", "--force", flag)
	events, _ := server.Queue(n.EventsQueue)
	if err != nil || !strings.HasPrefix(out, "1 dead letter with 1 event sent again") || events.Stats().Visible != 1 ||
		!strings.Contains(errOut, "there is no bulk queue") {
		t.Errorf("%v, printed %q and %q, the events queue has %+v", err, out, errOut, events.Stats())
	}
	lines := strings.Repeat(`{"type":"track","userId":"u","event":"E"}`+"\n", 10_001)
	if _, errOut, err = spillway(t.Context(), lines, "send", flag); err != nil || events.Stats().Events != 10_002 ||
		!strings.Contains(errOut, "there is no bulk queue") {
		t.Errorf("%v, printed %q, the events queue has %+v", err, errOut, events.Stats())
	}
}

func TestRedriveSendsNothingWhileSegmentFails(t *testing.T) {
	t.Parallel()
	p := localtest.StartEager(t, local.Config{})
	for range 3 {
		put(t, p, topology.DefaultNames().DeadLetterQueue, `{"type":"track","userId":"u","event":"By Hand"}`)
	}
	// With a Retry-After an event is tried once, at once.
	if err := p.Segmentd().SetScript(segmentd.Script{Rules: []segmentd.Rule{{Status: 503,
		RetryAfter: segmentd.Duration(time.Minute)}}}); err != nil {
		t.Fatal(err)
	}
	put(t, p, topology.DefaultNames().EventsQueue, `{"type":"track","userId":"u","event":"E"}`)
	await(t, "a failed delivery", func() bool { return p.Status().Segment.Failing(time.Now()) != nil })
	out, _, err := spillway(t.Context(), "", "dlq", "redrive", queueFlag(p))
	if err == nil || !strings.Contains(err.Error(), "calls to Segment are failing") ||
		!strings.Contains(err.Error(), "--force") || out != "" {
		t.Errorf("%v, printed %q", err, out)
	}
	if l := ls(t, p); l.DeadLetters != 3 {
		t.Errorf("%d dead letters are left", l.DeadLetters)
	}
	if sent := p.Status().Bulk.Sent; sent != 0 {
		t.Errorf("%d messages were sent", sent)
	}
	if out, _, err = spillway(t.Context(), "", "dlq", "redrive", "--force", queueFlag(p)); err != nil ||
		!strings.HasPrefix(out, "3 dead letters") {
		t.Errorf("%v, printed %q", err, out)
	}
}

func TestExportedLinesCanBeSentAgain(t *testing.T) {
	t.Parallel()
	p := withDeadLetters(t)
	lines, errOut, err := spillway(t.Context(), "", "dlq", "export", queueFlag(p))
	if err != nil || errOut != "spillway: exported 6 events of 6 dead letters\n" || strings.Count(lines, "\n") != 6 {
		t.Fatalf("%v, printed %q:\n%s", err, errOut, lines)
	}
	if l := ls(t, p); l.DeadLetters != 6 {
		t.Errorf("%d dead letters are left", l.DeadLetters)
	}
	if err := p.Segmentd().SetScript(segmentd.Script{}); err != nil {
		t.Fatal(err)
	}
	before := p.Status().DeadLetters
	out, errOut, err := spillway(t.Context(),
		strings.ReplaceAll(lines, `"userId":"u"}`, `"userId":"u","event":"Corrected"}`),
		"send", "--write-key=other", queueFlag(p))
	if err == nil || err.Error() != "1 line skipped" ||
		!strings.Contains(errOut, "is skipped: it is a dead letter whose body can't be read") ||
		!strings.HasPrefix(out, "sent 5 events") {
		t.Errorf("%v, printed %q and %q", err, out, errOut)
	}
	await(t, "the events", func() bool { return p.Status().Delivered == 7 })
	for _, e := range p.Segmentd().Events(segmentd.Query{}) {
		if want := map[bool]string{true: "other",
			false: "the-shop-key"}[strings.Contains(string(e.Raw), "By Hand")]; e.WriteKey != want {
			t.Errorf("%s came with the write key %s", e.Raw, e.WriteKey)
		}
	}
	if s := p.Status(); s.DeadLetters != before {
		t.Errorf("%d dead letters came back", s.DeadLetters-before)
	}
}

func TestDropWritesDeadLettersToAFileBeforeItDeletesThem(t *testing.T) {
	t.Parallel()
	p := withDeadLetters(t)
	path := filepath.Join(t.TempDir(), "dropped.ndjson")
	if _, _, err := spillway(t.Context(), "", "dlq", "drop", "--file="+path, queueFlag(p)); err == nil ||
		!strings.Contains(err.Error(), "give --yes") {
		t.Errorf("without being asked: %v", err)
	}
	out, _, err := spillway(t.Context(), "", "dlq", "drop", "--yes", "--reason=rejected", "--file="+path, queueFlag(p))
	if err != nil || out != "deleted 3 dead letters with 3 events; all are in "+path+"\n" {
		t.Errorf("%v, printed %q", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), `"messageId":"poison-`) != 3 || strings.Count(string(text), "\n") != 3 {
		t.Errorf("%v: %s", err, text)
	}
	if l := ls(t, p); l.DeadLetters != 3 {
		t.Errorf("%d dead letters are left", l.DeadLetters)
	}
	if _, _, err := spillway(t.Context(), "", "dlq", "drop", "--yes", "--file="+path, queueFlag(p)); err == nil ||
		!strings.Contains(err.Error(), "give another with --file") {
		t.Errorf("over a file that is there: %v", err)
	}
	if out, _, err := spillway(t.Context(), "", "dlq", "drop", "--yes", "--older-than=1h", "--file="+path+"2",
		queueFlag(p)); err != nil || !strings.Contains(out, "none that the flags select") {
		t.Errorf("%v, printed %q", err, out)
	}
	if _, err := os.Stat(path + "2"); err == nil {
		t.Error("an empty file remains")
	}
}

func TestDropDeletesOnlyAfterYes(t *testing.T) {
	t.Parallel()
	p := withDeadLetters(t)
	f := dropFlags{Flags: &dlq.Flags{}}
	c := &cobra.Command{}
	f.Register(c)
	if err := c.ParseFlags([]string{queueFlag(p)}); err != nil {
		t.Fatal(err)
	}
	q, err := f.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[string]bool{"yes\n": true, "y\n": false, "": false} {
		var out bytes.Buffer
		if confirmed, err := f.confirm(t.Context(), q, deadletter.Filter{}, strings.NewReader(answer), &out); err != nil ||
			confirmed != want || !strings.Contains(out.String(), "Delete 6 dead letters?") {
			t.Errorf("%q: %v, %v, printed %q", answer, confirmed, err, out.String())
		}
	}
}
