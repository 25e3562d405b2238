package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/upsource"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// archiving starts a pipeline with an archive and delivers some events: two of anna's in one message
// with one of bob's, a dead letter of both, and a body of anna's that can't be read.
func archiving(t *testing.T, change func(*local.Config)) *local.Pipeline {
	t.Helper()
	c := local.Config{Archive: &local.ArchiveBounds{Bytes: 64 << 20}}
	if change != nil {
		change(&c)
	}
	p := localtest.StartEager(t, c)
	names := topology.DefaultNames()
	put(t, p, names.EventsQueue, `{"writeKey":"k","batch":[`+
		`{"type":"track","event":"Run","userId":"anna","anonymousId":"device-1","messageId":"a1"},`+
		`{"type":"track","userId":"anna","messageId":"a2"},`+ // without a name: a dead letter
		`{"type":"track","event":"Run","userId":"bob","messageId":"b1","properties":{"friend":"anna"}},`+
		`{"type":"track","userId":"bob","messageId":"b2"}]}`)
	put(t, p, names.EventsQueue, `no JSON of anna`)
	await(t, "the archive", func() bool { return p.Status().Archive.Events == 5 })
	return p
}

func withPage(c *local.Config) {
	c.ConsoleAddr = "127.0.0.1:0"
	c.Console = func(p *local.Pipeline) local.Page {
		source := upsource.New(p)
		return upPage{console.New(console.Config{Source: source}), source}
	}
}

func TestWhyTellsWhatHappenedToAnEvent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*local.Config){"with the operator's page": withPage, "without": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := archiving(t, change)
			why := func(args ...string) (out, errOut string, err error) {
				return spillway(t.Context(), "", append([]string{"why", queueFlag(p)}, args...)...)
			}
			out, errOut, err := why("a1")
			if err != nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, ` UTC delivered track "Run" user=anna messageId=a1 `) ||
				!strings.Contains(out, "delivered at ") || !strings.Contains(out, "archived in archive/20") {
				t.Errorf("%s%s%v", out, errOut, err)
			}
			if said := strings.Contains(errOut, "events and bulk queue was not searched"); said != (change == nil) {
				t.Errorf("it says %q", errOut)
			}
			if change != nil { // the page knows it, too
				if _, page := get(t, p.ConsoleURL+"/find?q=a1"); !strings.Contains(page, "archived as delivered") {
					t.Errorf("the page says %s", page)
				}
			}
			out, _, err = why("a2")
			if err != nil || !strings.Contains(out, " dead letter track user=anna messageId=a2 ") ||
				!strings.Contains(out, "(invalid: ") || !strings.Contains(out, "`spillway dlq redrive --queue-url 'http://") ||
				!strings.Contains(out, " --id ") {
				t.Errorf("%s%v", out, err)
			}
			out, _, err = why("--user", "anna", "--json")
			var d struct {
				Events []struct {
					MessageID, Now string
					Payload        json.RawMessage
				}
			}
			if err != nil || json.Unmarshal([]byte(out), &d) != nil || len(d.Events) != 2 || len(d.Events[0].Payload) == 0 {
				t.Errorf("%s%v", out, err)
			}
			out, errOut, err = why("--user", "nobody")
			if err == nil || out != "" || !strings.Contains(errOut, "Archive: what arrived since ") ||
				!strings.Contains(errOut, "Dead-letter queue: all of 2 dead letters") {
				t.Errorf("of nobody: %s%s%v", out, errOut, err)
			}
		})
	}
}

func TestWhyWithoutAnArchiveLooksElsewhere(t *testing.T) {
	t.Parallel()
	p := localtest.StartEager(t, local.Config{})
	put(t, p, topology.DefaultNames().EventsQueue, `{"type":"track","userId":"anna","messageId":"a2"}`)
	await(t, "the dead letter", func() bool { return p.Status().DeadLetters == 1 })
	out, errOut, err := spillway(t.Context(), "", "why", "a2", queueFlag(p))
	if err != nil || !strings.Contains(out, " dead letter track user=anna messageId=a2 ") ||
		!strings.Contains(errOut, "archive was not searched: this pipeline keeps none") {
		t.Errorf("%s%s%v", out, errOut, err)
	}
}

// The page shows few events of a user, the command as many as --limit says.
func TestWhyShowsAsManyEventsOfAUserAsTheLimitSays(t *testing.T) {
	t.Parallel()
	const waiting, archived = console.MaxStory + 5, 12
	batch := func(id string, n int) string {
		var events []string
		for i := range n {
			events = append(events, fmt.Sprintf(`{"type":"track","event":"Run","userId":"carl","messageId":"%s-%d"}`, id, i))
		}
		return `{"writeKey":"k","batch":[` + strings.Join(events, ",") + `]}`
	}
	c := local.Config{Archive: &local.ArchiveBounds{Bytes: 64 << 20}}
	withPage(&c)
	p := localtest.StartEager(t, c)
	queue := topology.DefaultNames().EventsQueue
	put(t, p, queue, batch("archived", archived))
	await(t, "the archive", func() bool { return p.Status().Archive.Events == archived })
	if out, _, err := spillway(t.Context(), "", "pause", queueFlag(p)); err != nil {
		t.Fatal(out, err)
	}
	put(t, p, queue, batch("waits", waiting))
	for _, limit := range []int{5, waiting + archived - 1, waiting + archived} {
		out, errOut, err := spillway(t.Context(), "", "why", queueFlag(p), "--user=carl", "--limit", strconv.Itoa(limit))
		more := strings.HasSuffix(out, "\n… and older events: --limit shows more\n")
		if n := strings.Count(out, "messageId="); err != nil || n != limit || more != (limit < waiting+archived) {
			t.Errorf("--limit %d: %d events, more %v, %v, %s%s", limit, n, more, err, out, errOut)
		}
	}
}

func TestWhyRefusesWhatItCannotLookFor(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"give the messageId of an event, or a user": nil,
		"give a messageId or --user, not both":      {"m", "--user=u"},
		"give the messageId of one event":           {"m", "n"},
		"the messageId must not be empty":           {""},
		"--since must be more than 0, is -1s":       {"m", "--since=-1s"},
		"--limit must be at least 1, is 0":          {"--user=u", "--limit=0"},
		"nothing listens at":                        {"m", "--queue-url=" + unreachableQueue(t)},
	} {
		if _, _, err := spillway(t.Context(), "", append([]string{"why"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}
