package deliver

import (
	"fmt"
	"testing"

	"github.com/spillwayhq/spillway/shared/segment"
)

func TestEveryClassOfAnswerHasAPolicy(t *testing.T) {
	for _, c := range []struct {
		class segment.Class
		want  policy
	}{
		{segment.Delivered, policy{Disposition: Delivered}},
		{segment.Rejected, policy{Disposition: DeadLettered, Bisect: true}},
		{segment.Misconfigured, policy{Disposition: Retried, PauseWriteKey: true}},
		{segment.Throttled, policy{Disposition: Retried, PauseWriteKey: true}},
		{segment.Transient, policy{Disposition: Retried, RetryNow: true, CountsForBreaker: true}},
	} {
		want(t, c.class.String(), policies[c.class], c.want)
	}
	for _, class := range segment.Classes() {
		if _, ok := policies[class]; !ok {
			t.Errorf("%v has no policy", class)
		}
	}
	want(t, "policies", len(policies), len(segment.Classes()))
}

func TestDispositionsAreNamedAsCLIAndJSONNameThem(t *testing.T) {
	want(t, "names", fmt.Sprint(Retried, Delivered, DeadLettered), "retried delivered dead_lettered")
}
