package segment

import (
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestEveryStatusHasItsClass(t *testing.T) {
	want := func(status int) Class {
		switch {
		case status >= 200 && status <= 299:
			return Delivered
		case status == 400, status == 413:
			return Rejected
		case status == 429:
			return Throttled
		case status == 408, status >= 500 && status <= 599:
			return Transient
		}
		return Misconfigured // 3xx, every other 4xx, and what HTTP does not know
	}
	for status := -1; status <= 1000; status++ {
		if got := Classify(status); got != want(status) {
			t.Errorf("Classify(%d) is %v, want %v", status, got, want(status))
		}
	}
}

func TestTheOutcomeTableIsTotal(t *testing.T) {
	want := []Outcome{
		{Class: Delivered, Name: "delivered", Fate: Deliver},
		{Class: Rejected, Name: "rejected", Fate: DeadLetter, Split: true},
		{Class: Misconfigured, Name: "misconfigured", Fate: Stay, PausesWriteKey: true},
		{Class: Throttled, Name: "throttled", Fate: Stay, PausesWriteKey: true},
		{Class: Transient, Name: "transient", Fate: Stay, Again: true, Breaker: true},
		{Class: Unreadable, Name: "unreadable", Fate: DeadLetter},
		{Class: Expired, Name: "expired", Fate: DeadLetter},
	}
	all := Classes()
	if len(all) != len(want) {
		t.Fatalf("%d classes, want %d", len(all), len(want))
	}
	for i, class := range all {
		if got := class.Outcome(); got != want[i] {
			t.Errorf("the outcome of %v is %+v, want %+v", class, got, want[i])
		}
		if class.String() != want[i].Name {
			t.Errorf("class %d is called %q, want %q", class, class, want[i].Name)
		}
	}
}

func TestEachOriginHasItsPath(t *testing.T) {
	for o, want := range map[event.Origin]string{event.FromServer: "/v1/batch", event.FromClient: "/v1/b"} {
		if got := Path(o); got != want {
			t.Errorf("the path of %v is %s, want %s", o, got, want)
		}
	}
}
