package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

func TestEveryReasonHasATextOfItsOwn(t *testing.T) {
	seen := map[string]reason{}
	for r := reasonAnswer + 1; r < reasons; r++ {
		text := newFailure(r, nil).text()
		if other, ok := seen[text]; ok || text == "" || strings.Contains(text, "no answer from Segment") {
			t.Errorf("reason %d says %q, as does %d", r, text, other)
		}
		seen[text] = r
		if class := reasonTable[r].class; r != reasonKeyPaused && policies[class].Disposition != Retried {
			t.Errorf("reason %d is treated as %v, which is not retried", r, class)
		}
	}
}

func TestASummaryNamesTheCauseAndQuotesNothing(t *testing.T) {
	paused := &failure{reason: reasonKeyPaused, class: segment.Misconfigured, earlier: failureOf(status(401))}
	for _, c := range []struct {
		f    *failure
		want string
	}{
		{newFailure(reasonNoTime, nil), "the invocation had no time left to send the event"},
		{newFailure(reasonNotWritten, errors.New("AccessDenied")), "the dead letter could not be written"},
		{newFailure(reasonNoEndpoint, errors.New("no parameter")), "the endpoint of Segment is not known"},
		{failureOf(status(503)), answerSummaries[segment.Transient]},
		{paused, answerSummaries[segment.Misconfigured]},
	} {
		want(t, "summary", c.f.summary(), c.want)
	}
	for class, p := range policies {
		if (p.Disposition == Retried) != (answerSummaries[class] != "") {
			t.Errorf("%v has the summary %q", class, answerSummaries[class])
		}
	}
}

func TestAFailureQuotesWhatWasBefore(t *testing.T) {
	away := failureOf(errors.New("connection refused"))
	open := newFailure(reasonBreakerOpen, nil)
	open.lasted, open.earlier = 90*time.Second, failureOf(status(503))
	paused := &failure{reason: reasonKeyPaused, class: segment.Misconfigured, earlier: failureOf(status(401))}
	for _, c := range []struct {
		f    *failure
		want string
	}{
		{away, "transient: no answer from Segment: connection refused"},
		{open, "the circuit breaker is open until a probe succeeds, Segment has failed for 1m30s; " +
			"before: transient: Segment answered 503: " + marker + " in an answer"},
		{paused, "the write key is paused; before: misconfigured: Segment answered 401: " + marker + " in an answer"},
		{newFailure(reasonNotWritten, errors.New("AccessDenied")), "the dead letter could not be written: AccessDenied"},
	} {
		want(t, "text", c.f.text(), c.want)
	}
}

func TestEventsAreRetriedWhileTheEndpointIsNotKnown(t *testing.T) {
	r := newRig(t, func(context.Context, *event.Batch) error { return fmt.Errorf("%w: no parameter", ErrNoEndpoint) })
	var details []string
	r.Handler = r.handler(Config{Segment: r.segment, Observer: watching(func(o Observation) {
		details = append(details, o.Detail)
	})})
	m := in{id: "m", body: body(keyA, track("e", 300))}
	want(t, "retained", r.invoke(t.Context(), m), []string{"m"})
	want(t, "retried", r.last.Retried, map[string]int{"misconfigured": 1})
	want(t, "details", details, []string{"the event was not sent: the endpoint of Segment is not known: no parameter"})
	want(t, "calls while the key is paused", r.calls(func() { r.invoke(t.Context(), m) }), 0)
}

func TestTheReportNamesTheWriteKeysThatArePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ context.Context, b *event.Batch) error {
			if b.WriteKey == keyA {
				return status(429)
			}
			return nil
		})
		m, other := in{id: "m", body: body(keyA, track("e", 300))}, in{id: "o", body: body(keyB, track("o", 300))}
		r.invoke(t.Context(), m, other)
		want(t, "pauses", len(r.last.Paused), 1)
		p := r.last.Paused[0]
		want(t, "key", p.Key, event.KeyID(keyA))
		want(t, "why", p.Why, answerSummaries[segment.Throttled])
		time.Sleep(time.Until(p.Until))
		r.invoke(t.Context(), other)
		want(t, "pauses when it is over", len(r.last.Paused), 0)
	})
}
