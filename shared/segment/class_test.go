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

func TestEveryClassHasItsName(t *testing.T) {
	want := map[Class]string{Delivered: "delivered", Rejected: "rejected", Misconfigured: "misconfigured",
		Throttled: "throttled", Transient: "transient"}
	if n := len(Classes()); n != len(want) {
		t.Fatalf("%d classes, want %d", n, len(want))
	}
	for _, class := range Classes() {
		if class.String() != want[class] {
			t.Errorf("class %d is called %q, want %q", uint8(class), class, want[class])
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
