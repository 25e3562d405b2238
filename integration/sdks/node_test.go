package sdks

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runNode runs analytics-node, or the SDK for Node that the variable SDK names, to its end. It
// returns whether the SDK reports each event as delivered, by messageId, or by type where the SDK
// does not tell the messageId.
func runNode(t *testing.T, d *deployment, env ...string) map[string]bool {
	t.Helper()
	sdk := "@segment/analytics-node"
	for _, v := range env {
		if name, ok := strings.CutPrefix(v, "SDK="); ok {
			sdk = name
		}
	}
	needs(t, sdk, "node", "--input-type=module", "-e", "import '"+sdk+"'")
	s := node(t, append([]string{"HOST=" + d.URL, "WRITE_KEY=" + writeKey}, env...), "node.mjs")
	delivered := map[string]bool{}
	for line := range s.lines {
		name, ok := line["messageId"].(string)
		if !ok {
			name = line["type"].(string)
		}
		delivered[name] = line["delivered"].(bool)
	}
	return delivered
}

// nodeSDKs are those for Node that take an address of their own: Segment's three generations, and
// the forks of other projects.
var nodeSDKs = []string{
	"@segment/analytics-node", "analytics-node-1", "analytics-node",
	"@customerio/cdp-analytics-node", "@rudderstack/rudder-sdk-node",
}

func TestNodeEventsOfEveryTypeArriveWithAllFields(t *testing.T) {
	t.Parallel()
	for _, sdk := range nodeSDKs {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, setup{})
			told := runNode(t, d, "SDK="+sdk)
			assertAllArrived(t, d, "/v1/batch", enriched{}, "identify", "track", "page", "screen", "group", "alias")
			if len(told) != 6 {
				t.Errorf("the SDK reports %d events, want 6", len(told))
			}
			for event, accepted := range told {
				if !accepted {
					t.Errorf("the SDK was not told that %s is accepted", event)
				}
			}
		})
	}
}

func TestNodeRetriesByStatusAndRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		answers  []scripted
		retries  string // the SDK's own limit
		want     []int  // the answers that the SDK gets
		accepted bool
	}{
		// With Retry-After a 429 does not count against the SDK's retry limit.
		{"429 with Retry-After", []scripted{{429, 1}, {429, 1}}, "1", []int{429, 429, 200}, true},
		{"429 without Retry-After", []scripted{{429, 0}, {429, 0}}, "1", []int{429, 429}, false},
		{"503", []scripted{{503, 0}, {503, 0}}, "2", []int{503, 503, 200}, true},
		{"503 too often", []scripted{{503, 0}, {503, 0}}, "1", []int{503, 503}, false},
		{"400", []scripted{{400, 0}}, "10", []int{400}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, setup{answers: c.answers})
			told := runNode(t, d, "MAX_RETRIES="+c.retries, "ONLY=track")
			sent := d.sent()
			if got := statuses(sent); !slices.Equal(got, c.want) {
				t.Fatalf("it was answered %v, want %v", got, c.want)
			}
			event := ids(t, sent[0])[0]
			assertRetries(t, sent)
			if accepted, ok := told[event]; !ok || accepted != c.accepted {
				t.Errorf("the SDK reports %v", told)
			}
			if c.accepted {
				d.awaitEvents(t, event)
			}
			if n := len(d.Get(event)); (n == 1) != c.accepted {
				t.Errorf("it arrived %d times", n)
			}
		})
	}
}

// assertRetries checks that each retry has the same events and its number in X-Retry-Count.
func assertRetries(t *testing.T, sent []request) {
	t.Helper()
	for i, r := range sent[1:] {
		if again := ids(t, r); !slices.Equal(again, ids(t, sent[0])) {
			t.Errorf("try %d carries %v, want %v", i+2, again, ids(t, sent[0]))
		}
		if count := r.Header.Get("X-Retry-Count"); count != strconv.Itoa(i+1) {
			t.Errorf("try %d says that it is retry %q", i+2, count)
		}
	}
	assertWaited(t, sent)
}

// assertWaited checks that no attempt comes earlier than the Retry-After before it allows.
func assertWaited(t *testing.T, tries []request) {
	t.Helper()
	// Timers of JavaScript may be a few milliseconds early against our clock.
	const early = 50 * time.Millisecond
	for i := range tries[1:] {
		told, waited := tries[i].RetryAfter, tries[i+1].At.Sub(tries[i].Answered)
		if waited < told-early {
			t.Errorf("try %d came after %v, although it was told %v", i+2, waited, told)
		}
	}
}

// assertAllArrived waits for each event that was sent, compares it, and checks that there is one of
// each type. It returns their messageIds.
func assertAllArrived(t *testing.T, d *deployment, path string, add enriched, kinds ...string) (all []string) {
	t.Helper()
	missing := slices.Clone(kinds)
	for _, r := range d.sent() {
		if r.Status != http.StatusOK {
			t.Fatalf("%s was answered %d: %s", r.Path, r.Status, r.Body)
		}
		sent, sentAt := events(t, r.Body)
		for _, e := range sent {
			all = append(all, id(e))
			d.awaitEvents(t, id(e))
			got := d.Get(id(e))
			if len(got) != 1 || got[0].WriteKey != writeKey || got[0].Path != path {
				t.Errorf("%s arrived %d times, under %q at %s", e["type"], len(got), got[0].WriteKey, got[0].Path)
			}
			assertIntact(t, r, e, sentAt, got[0], add)
			missing = slices.DeleteFunc(missing, func(kind string) bool { return kind == e["type"] })
		}
	}
	if len(missing) > 0 {
		t.Errorf("the SDK has sent no %s", strings.Join(missing, ", "))
	}
	return all
}
