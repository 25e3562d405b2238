package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestSendPacksMadeUpEvents(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	out, _, err := spillway(t.Context(), "", "send", "--count=1200", queueFlag(p))
	if err != nil {
		t.Fatal(err)
	}
	// Three messages hold them. A feed that pauses, as on a busy machine, makes a few more.
	s := p.Status()
	if s.Accepted != 1200 || s.BacklogEvents != 1200 || s.Backlog < 3 || s.Backlog > 30 {
		t.Errorf("accepted %d events, backlog %d in %d messages", s.Accepted, s.BacklogEvents, s.Backlog)
	}
	if !strings.HasPrefix(out, fmt.Sprintf("sent 1,200 events in %d messages", s.Backlog)) {
		t.Errorf("printed %q", out)
	}
}

func TestSendUsesTheBulkQueueForALargeInputOrIfAsked(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	lines := func(n int) string { return strings.Repeat(`{"type":"track","userId":"u","event":"E"}`+"\n", n) }
	for _, c := range []struct {
		name, in string
		args     []string
		events   int64
		bulk     bool
	}{
		{"as many as fresh events may wait for", lines(largeInput), nil, largeInput, false},
		{"more", lines(largeInput + 1), nil, largeInput + 1, true},
		{"more, but asked not to", lines(largeInput + 1), []string{"--bulk=false"}, largeInput + 1, false},
		{"few, but asked to", lines(3), []string{"--bulk"}, 3, true},
		{"made up", "", []string{"--count=10001"}, 10_001, false},
		{"made up, and asked to", "", []string{"--count=5", "--bulk"}, 5, true},
	} {
		before := p.Status()
		out, errOut, err := spillway(t.Context(), c.in, append([]string{"send", queueFlag(p)}, c.args...)...)
		after := p.Status()
		fresh, bulk := after.Accepted-before.Accepted, after.Bulk.Sent-before.Bulk.Sent
		if want := map[bool]int64{true: c.events}; err != nil || fresh != want[!c.bulk] || bulk != want[c.bulk] ||
			strings.Contains(out, "to the bulk queue") != c.bulk || errOut != "" {
			t.Errorf("%s: %v, printed %q and %q; %d events are in the events queue and %d in the bulk queue", c.name, err, out,
				errOut, fresh, bulk)
		}
	}
}

func TestSendSaysHowToSendWithoutPermissionForTheBulkQueue(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDenied","message":"no"}`)
	}))
	t.Cleanup(server.Close)
	names := topology.DefaultNames()
	_, _, err := spillway(t.Context(), `{"type":"track","userId":"u","event":"E"}`, "send", "--bulk",
		"--queue-url="+local.QueueURL(server.URL, names.EventsQueue))
	want := "SQS answered AccessDenied for " + local.QueueURL(server.URL, names.BulkQueue) +
		": no (--bulk=false sends to the events queue)"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestSendSingleSendsOneEventPerMessage(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	if _, _, err := spillway(t.Context(), "", "send", "--count=25", "--single", queueFlag(p)); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Accepted != 25 || s.Backlog != 25 {
		t.Errorf("accepted %d events in %d messages", s.Accepted, s.Backlog)
	}
}

func TestSendSkipsExportedLinesWithAWriteKeyThatSegmentWouldDrop(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	line := func(key string) string {
		return `{"deadLetter":{"id":"x"},"writeKey":"` + key + `","batch":[{"type":"track","userId":"u","event":"E"}]}` + "\n"
	}
	_, errOut, err := spillway(t.Context(), line("abc\\n")+line("good")+line(strings.Repeat("k", 200)), "send", queueFlag(p))
	if err == nil || !strings.Contains(err.Error(), "2 lines skipped") || p.Status().Accepted != 1 ||
		!strings.Contains(errOut, "line 1 is skipped: correct its writeKey: invalid_write_key") ||
		!strings.Contains(errOut, "line 3 is skipped") {
		t.Errorf("error %v, printed %q, accepted %d", err, errOut, p.Status().Accepted)
	}
}

func TestSendReportsLinesThatAreNotEventsAndSendsTheOthers(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	const good = `{"type":"track","userId":"u","event":"E"}`
	in := "\xef\xbb\xbf" + good + "\r\n\nnot JSON\n[1]\n{\"type\":\"track\"}\n{\"batch\":[" + good + "]}\n{\"x\":\"" +
		strings.Repeat("x", 3<<20) + "\"}\n" +
		"{\"x\":\"" + strings.Repeat("x", 33<<10) + "\"}\n" + good
	out, errOut, err := spillway(t.Context(), in, "send", queueFlag(p))
	if err == nil || !strings.Contains(err.Error(), "5 lines skipped") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"line 3 is skipped: it is not JSON", "line 4 is skipped: it is not a JSON object",
		"line 6 is skipped: it is a batch",
		"line 7 is skipped: it is larger", "line 8 is skipped: it is larger"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is missing in %q", want, errOut)
		}
	}
	if !strings.HasPrefix(out, "sent 3 events in ") || p.Status().Accepted != 3 {
		t.Errorf("printed %q, accepted %d", out, p.Status().Accepted)
	}
}

func TestSendSendsTheSampleEvents(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	sample, err := os.ReadFile("../../events/events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := spillway(t.Context(), string(sample), "send", queueFlag(p))
	if err != nil || !strings.HasPrefix(out, "sent 3 events") {
		t.Errorf("printed %q: %v", out, err)
	}
}

func TestSendSaysWhereToContinueWhenTheQueueIsUnreachable(t *testing.T) {
	t.Parallel()
	const exported = `{"deadLetter":{"id":"x"},"writeKey":"k","batch":[{"type":"track","userId":"u","event":"E"}]}` + "\n"
	for _, c := range []struct {
		name, in, want string
		args           []string
	}{
		{"made up", "", "10 of 10 events were not sent: nothing listens at", []string{"--count=10"}},
		{"from standard input", "nothing\n" + strings.Repeat("{\"type\":\"track\"}\n", 10),
			"continue from line 2 (tail -n +2): nothing listens at", nil},
		{"exported lines", "nothing\n" + strings.Repeat(exported, 10),
			"continue from line 2 (tail -n +2): nothing listens at", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := spillway(t.Context(), c.in, append([]string{"send", "--queue-url=" + unreachableQueue(t)}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// endless never ends, like a pipe whose writer waits.
type endless struct{ begun chan struct{} }

func (e *endless) Read(p []byte) (int, error) {
	select {
	case <-e.begun:
		select {}
	default:
		close(e.begun)
		return copy(p, "{\"type\":\"track\"}\n"), nil
	}
}

func TestSendCanBeInterruptedWhileItsInputHasNotEnded(t *testing.T) {
	t.Parallel()
	p := localtest.Start(t, local.Config{Hold: true})
	ctx, cancel := context.WithCancelCause(t.Context())
	in := &endless{make(chan struct{})}
	go func() { <-in.begun; cancel(interrupt.Err) }()
	var out, errOut bytes.Buffer
	err := send(ctx, in, &out, &errOut, sendFlags{queueURL: p.QueueURL(topology.DefaultNames().EventsQueue)})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v, printed %q", err, out.String())
	}
}
