package deliver

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
)

// counted is what has been counted: a word for each entry.
func counted(c *heavy.Counter) string {
	l, _ := c.Take(time.Now())
	var words []string
	for _, e := range l.Heaviest {
		words = append(words, strings.TrimRight(fmt.Sprintf("%s=%s:%d %s", e.By, e.Name, e.Events, e.Code), " "))
	}
	return strings.Join(words, ", ")
}

func TestEventsThatComeInAreCountedByWhoSentThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rejected, page := track("p", 300), strings.Replace(track("q", 300), `"type":"track"`, `"type":"page"`, 1)
		invalid := strings.Replace(track("invalid", 300), `"userId":"`+marker+`",`, "", 1)
		r := newRig(t, refusing(rejected))
		counter := heavy.NewCounter("shop", heavy.PartDeliver)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, Senders: counter, CanaryWriteKey: keyB})
		key := "write-key=" + event.KeyID(keyA)
		expect := func(what, expected string) {
			t.Helper()
			want(t, what, counted(counter), strings.ReplaceAll(expected, "KEY", key))
		}

		mixed := in{id: "m", body: body(keyA, track("a", 300), invalid, rejected, track("b", 300), page), sent: time.Now()}
		r.invoke(t.Context(), mixed)
		expect("each event by its disposition", "event=Run:2, event=page:1, event=Run:1 dead_letter/invalid, "+
			"event=Run:1 dead_letter/rejected, KEY:3, KEY:1 dead_letter/invalid, KEY:1 dead_letter/rejected")

		again, redriven := one("again"), one("redriven")
		again.receives, redriven.deadLetterID = 2, "m/0"
		r.invoke(t.Context(), again, redriven, in{id: "c", body: body(keyB, track("c", 300)), sent: time.Now()})
		expect("what has come in before, and canaries", "")

		r.invoke(t.Context(), in{id: "unreadable", body: "no JSON", sent: time.Now()})
		expect("a body that can't be read",
			"event=(unknown):1 dead_letter/undecodable, write-key=(unknown):1 dead_letter/undecodable")

		r.segment.answer = always(status(503))
		r.invoke(t.Context(), one("e"))
		expect("a failing Segment", "event=Run:1 retried/transient, KEY:1 retried/transient")
		r.openBreaker(t)
		counted(counter)
		packed := in{id: "p", body: zipped(t, body(keyA, tracks("t", 7, 300)...)), sent: time.Now(), count: "7"}
		want(t, "calls of Segment", r.calls(func() { r.invoke(t.Context(), packed, again) }), 0)
		want(t, "retained events", r.last.Retried, map[string]int{"transient": 8})
		expect("an open breaker", "event=Run:7 retried/transient, KEY:7 retried/transient")
		if strings.Contains(r.log.String(), marker) {
			t.Error("the log has a user")
		}
	})
}

func TestUsersAreCountedWhereTheyMayBe(t *testing.T) {
	for _, may := range []bool{false, true} {
		r := newRig(t, nil)
		counter := heavy.NewCounter("shop", heavy.PartDeliver)
		counter.Users = may
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, Senders: counter})
		r.invoke(t.Context(), one("e"))
		if got := counted(counter); strings.Contains(got, "user="+marker) != may {
			t.Errorf("counted is %s", got)
		}
	}
}
