package status

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/status"
)

const (
	first, second = "status-eu-central-1", "status-eu-west-3"
	one, zero     = `"StatusWritten":1`, `"StatusWritten":0`
)

func TestEachMinuteThePageShowsWhatTheRegionsAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.minute(0)
		w.expect(first, nil)
		w.places[0].set(func(p *place) { p.fires, p.age = []string{"delivery-down"}, 700 })
		w.places[1].set(func(p *place) { p.health = 503 })
		w.minute(0)
		w.expect(first, map[string]status.State{"delivery-eu-west-1": status.Outage, "ingest-us-east-1": status.Outage})
		d := w.document(first)
		if c := d.Component("delivery-eu-west-1"); c.OldestSeconds == nil || *c.OldestSeconds < 700 {
			t.Errorf("the oldest event: %+v", c)
		}
		log := w.take()
		if n := strings.Count(log, one); n != 2 || strings.Contains(log, zero) {
			t.Errorf("it was written %d times:\n%s", n, log)
		}
		for _, file := range []string{"site/index.html", "site/status.json"} {
			if len(w.s3[first].Objects(first)[file].Data) == 0 {
				t.Errorf("there is no %s", file)
			}
		}
	})
}

func TestAMinuteAsksForFewMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		for _, c := range []struct {
			change func(*place)
			want   string
		}{
			{func(*place) {}, "ages canaries"},
			{func(p *place) { p.waiting = 0 }, "canaries"},
		} {
			w.places[0].set(c.change)
			clear(w.places[0].asked)
			w.minute(0)
			var asked []string
			for name := range w.places[0].asked {
				asked = append(asked, name)
			}
			if slices.Sort(asked); strings.Join(asked, " ") != c.want {
				t.Errorf("asked for %v, want %s", asked, c.want)
			}
		}
	})
}

func TestARegionThatHangsCostsOnlyItsOwnComponents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.minute(0) // its ingest endpoint is known since then
		w.places[0].set(func(p *place) { p.hangs = true })
		if took := invoke(t, w.functions[0]); took > regionTimeout+time.Second {
			t.Errorf("it took %v", took)
		}
		w.expect(first, map[string]status.State{"ingest-eu-west-1": status.Outage, "delivery-eu-west-1": status.NotKnown})
		if log := w.take(); !strings.Contains(log, `"region":"eu-west-1","ingest":"down","delivery":"unknown"`) ||
			strings.Contains(log, `"region":"us-east-1"`) {
			t.Errorf("the log says\n%s", log)
		}
	})
}

func TestARegionThatRefusesOrPanicsIsUnknown(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*place){"refuses": func(p *place) { p.denies = true },
		"panics": func(p *place) { p.panics = true }} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.places[0].set(change)
			w.minute(0)
			w.expect(first, map[string]status.State{"ingest-eu-west-1": status.NotKnown, "delivery-eu-west-1": status.NotKnown})
			d := w.document(first)
			if c := d.Component("delivery-eu-west-1"); c.OldestSeconds != nil || c.CanarySeconds != nil {
				t.Errorf("%s: it knows of %+v", name, c)
			}
			if log := w.take(); !strings.Contains(log, one) || !strings.Contains(log, `"region":"eu-west-1"`) {
				t.Errorf("%s: the log says\n%s", name, log)
			}
		})
	}
}

func TestAColdStartWhileARegionIsAwayStillAsksItsEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.minute(0)
		w.places[0].set(func(p *place) { p.hangs = true })
		w.functions[0] = w.function(0)
		w.minute(0)
		w.expect(first, map[string]status.State{"ingest-eu-west-1": status.Outage, "delivery-eu-west-1": status.NotKnown})
		if got := string(w.s3[first].Objects(first)["state/ingest-urls.json"].Data); got !=
			`{"eu-west-1":"https://eu-west-1.test","us-east-1":"https://us-east-1.test"}` {
			t.Errorf("it remembers %s", got)
		}
	})
}

func TestWhatIsRememberedOutlivesWhatCantBeRead(t *testing.T) {
	t.Parallel()
	const all = `{"eu-west-1":"https://eu-west-1.test","us-east-1":"https://us-east-1.test"}`
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.minute(0)
		remembered := func() string { return string(w.s3[first].Objects(first)["state/ingest-urls.json"].Data) }
		w.s3[first].Fail(s3test.Status(503, "SlowDown", http.MethodGet, "/state/"))
		w.places[0].set(func(p *place) { p.hangs = true })
		w.functions[0] = w.function(0)
		w.minute(0)
		if got := remembered(); got != all {
			t.Errorf("while its memory can't be read the function remembers %s", got)
		}
		w.s3[first].Fail(nil)
		w.minute(0)
		w.expect(first, map[string]status.State{"ingest-eu-west-1": status.Outage, "delivery-eu-west-1": status.NotKnown})
		w.places[0].set(func(p *place) { p.hangs = false })
		for _, broken := range []string{"", "{", "[]", "null"} {
			w.s3[first].Set(first, "state/ingest-urls.json", []byte(broken))
			w.functions[0] = w.function(0)
			w.minute(0)
			if got := remembered(); got != all {
				t.Errorf("after %q the function remembers %s", broken, got)
			}
		}
	})
}

func TestTwoFunctionsShareTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		for range 5 {
			w.minute(0, 1)
		}
		if log := w.take(); strings.Count(log, one) != 10 || strings.Contains(log, zero) ||
			strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("the log says\n%s", log)
		}
		for _, b := range w.buckets {
			w.expect(b, nil)
			d := w.document(b)
			if len(d.Writers) != 2 {
				t.Errorf("%s has the writers %+v", b, d.Writers)
			}
		}
	})
}

func TestABucketWhoseFunctionDoesNotRunIsWrittenByTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.minute(0, 1)
		for range 10 {
			w.minute(1)
			d := w.document(first)
			if age := time.Since(d.ObservedAt); age > 3*time.Minute {
				t.Errorf("the page of the function that does not run is %v old", age)
			}
		}
		if log := w.take(); strings.Contains(log, zero) {
			t.Errorf("the log says\n%s", log)
		}
	})
}

// away makes a bucket fail in a way.
func away(how string) s3test.Fault {
	switch how {
	case "hangs":
		return func(_ http.ResponseWriter, r *http.Request, _ bool) bool {
			<-r.Context().Done()
			return true
		}
	case "refuses":
		return s3test.Status(403, "AccessDenied", "", "")
	case "refuses the write":
		return s3test.Status(403, "AccessDenied", http.MethodPut, "")
	}
	return s3test.Status(503, "SlowDown", "", "")
}

func TestWhileABucketIsAwayTheOtherOneGoesOnAndBothAreOneAgainAfterwards(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"hangs", "refuses", "refuses the write", "is overloaded"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 2)
			w.minute(0, 1)
			w.s3[first].Fail(away(how))
			w.places[0].set(func(p *place) { p.fires = []string{"delivery-down"} })
			for range 20 {
				w.minute(0, 1)
				d := w.document(second)
				if age := time.Since(d.ObservedAt); age > time.Minute {
					t.Errorf("%s: the other page is %v old", how, age)
				}
				for _, writer := range d.Writers { // what only one of them may see is not lost
					if age := time.Since(writer.At); age > time.Minute {
						t.Errorf("%s: what %s saw is %v old", how, writer.Name, age)
					}
				}
			}
			w.expect(second, map[string]status.State{"delivery-eu-west-1": status.Outage})
			if log := w.take(); strings.Count(log, zero) < 38 || !strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("%s: the failure was not told:\n%s", how, log)
			}
			w.s3[first].Fail(nil)
			w.minute(0, 1)
			w.minute(0, 1)
			a, b := w.document(first), w.document(second)
			if len(a.Incidents) != 1 || len(b.Incidents) != 1 || a.Incidents[0].ID != b.Incidents[0].ID {
				t.Errorf("%s: the buckets have the incidents %+v and %+v", how, a.Incidents, b.Incidents)
			}
			w.expect(first, map[string]status.State{"delivery-eu-west-1": status.Outage})
			x, y := down(&a, "delivery-eu-west-1"), down(&b, "delivery-eu-west-1")
			if x < 20*time.Minute || x > 22*time.Minute || (x-y).Abs() > time.Minute {
				t.Errorf("%s: it was down for %v and %v, want about 21 minutes", how, x, y)
			}
			if log := w.take(); !strings.HasSuffix(strings.TrimSpace(log), "}") || strings.Contains(lastMinute(log), zero) {
				t.Errorf("%s: afterwards the log says\n%s", how, log)
			}
		})
	}
}

// lastMinute is the log from the last but one line about the metric on.
func lastMinute(log string) string {
	lines := strings.Split(log, "\n")
	return strings.Join(lines[len(lines)/2:], "\n")
}

// down is for how long a component was down.
func down(d *status.Document, id string) (sum time.Duration) {
	for _, day := range d.Component(id).Days {
		sum += time.Duration(day.Outage) * time.Second
	}
	return sum
}

func TestAMinuteThatIsInvokedTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.places[0].set(func(p *place) { p.fires = []string{"delivery-down"} })
		w.minute(0)
		other := w.function(0) // Lambda runs the second one in another environment
		for range 5 {
			go invoke(t, other)
			w.minute(0)
		}
		synctest.Wait()
		w.minute(0)
		d := w.document(first)
		if sum := down(&d, "delivery-eu-west-1"); sum != 6*time.Minute {
			t.Errorf("it was down for %v, want 6 minutes", sum)
		}
		if len(d.Incidents) != 1 {
			t.Errorf("there are %d incidents, want 1", len(d.Incidents))
		}
	})
}

func TestADocumentThatIsBrokenOrEmptyIsKeptAndANewOneBegins(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{", "null", "[]", `{"version":1,"components":[{"days":[{"date":"x"}]}]}`,
		"\x00"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 2)
			w.minute(0, 1)
			w.s3[first].Set(first, "site/status.json", []byte(content))
			w.minute(0, 1)
			w.expect(first, nil)
			w.minute(0, 1)
			if log := w.take(); strings.Contains(lastMinute(lastMinute(log)), zero) {
				t.Errorf("%q: the log says\n%s", content, log)
			}
		})
	}
}

func TestADocumentOfANewerVersionIsNotTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.s3[first].Set(first, "site/status.json", []byte(`{"version":1000}`))
		w.minute(0)
		if got := string(w.s3[first].Objects(first)["site/status.json"].Data); got != `{"version":1000}` {
			t.Errorf("it was overwritten by %s", got)
		}
		if log := w.take(); !strings.Contains(log, zero) || !strings.Contains(log, "newer version") {
			t.Errorf("the log says\n%s", log)
		}
	})
}

// A function whose clock was a day ahead has written. Who has the right time goes on from its own.
func TestADocumentFromTheFutureDoesNotStopTheSite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.minute(0)
		d := w.document(first)
		future := status.Observe(d, status.Observation{Writer: "eu-central-1", Regions: []status.Region{
			{Name: "eu-west-1", Ingest: status.Down, Delivery: status.Down}}}, time.Now().Add(24*time.Hour))
		w.s3[first].Set(first, "site/status.json", future.Encode())
		w.minute(0)
		w.minute(0)
		w.expect(first, nil)
		after := w.document(first)
		if after.ObservedAt.After(time.Now()) {
			t.Errorf("it was observed at %v, and it is %v", after.ObservedAt, time.Now())
		}
	})
}

func TestAFunctionThatEndsBetweenTheDocumentAndThePagesIsMendedByTheNextMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.minute(0)
		w.places[0].set(func(p *place) { p.fires = []string{"delivery-down"} })
		w.s3[first].Fail(func(_ http.ResponseWriter, r *http.Request, _ bool) bool { // no page is written any more
			if r.Method != http.MethodPut || strings.HasSuffix(r.URL.Path, "/status.json") {
				return false
			}
			<-r.Context().Done()
			return true
		})
		w.minute(0)
		before := w.s3[first].Objects(first)["site/index.html"].Data
		w.s3[first].Fail(nil)
		w.functions[0] = w.function(0)
		w.minute(0)
		after := w.s3[first].Objects(first)["site/index.html"].Data
		if string(before) == string(after) {
			t.Error("the page still shows the minute before the function was killed")
		}
		if log := w.take(); !strings.Contains(log, zero) ||
			!strings.HasSuffix(strings.TrimSpace(log), one+"}") && !strings.Contains(log, one) {
			t.Errorf("the log says\n%s", log)
		}
		w.expect(first, map[string]status.State{"delivery-eu-west-1": status.Outage})
	})
}
