package canary

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/heavy"
)

// fakeTraffic is a pipeline in which one event name has grown to twenty times as much. It fails,
// hangs or panics on request.
type fakeTraffic struct {
	mode string
}

func (f *fakeTraffic) fail(ctx context.Context) error {
	switch f.mode {
	case "fails":
		return errors.New("AccessDenied")
	case "hangs":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (f *fakeTraffic) Traffic(ctx context.Context, from, to time.Time) (map[time.Time]float64, error) {
	traffic := map[time.Time]float64{}
	for at := from; at.Before(to); at = at.Add(5 * time.Minute) {
		traffic[at] = 1000
	}
	traffic[to.Add(-5*time.Minute)] = 20_000
	return traffic, f.fail(ctx)
}

func (f *fakeTraffic) Lines(ctx context.Context, _, to time.Time) ([]heavy.Line, error) {
	return []heavy.Line{{Time: to, Part: heavy.PartDeliver, Heaviest: []heavy.Entry{
		{By: heavy.ByEvent, Name: "Loop", Events: 20_000}, {By: heavy.ByEvent, Name: "Run", Events: 900}}}}, f.fail(ctx)
}

func (f *fakeTraffic) Windows(ctx context.Context, from, to time.Time) (windows []heavy.Line, err error) {
	for at := from; at.Before(to); at = at.Add(5 * time.Minute) {
		windows = append(windows, heavy.Line{From: at, Part: heavy.PartAll, Heaviest: []heavy.Entry{
			{By: heavy.ByEvent, Name: "Loop", Events: 1000}, {By: heavy.ByEvent, Name: "Run", Events: 1000}}})
	}
	return windows, f.fail(ctx)
}

type panicking struct{}

func (*panicking) Lines(context.Context, time.Time, time.Time) ([]heavy.Line, error) {
	return []heavy.Line{{Heaviest: []heavy.Entry{{By: heavy.ByEvent, Name: "Loop", Events: 1}}}}, nil
}

func (*panicking) Windows(context.Context, time.Time, time.Time) ([]heavy.Line, error) {
	return nil, nil
}

func (*panicking) Traffic(context.Context, time.Time, time.Time) (map[time.Time]float64, error) {
	panic("bug")
}

// invoked runs the function for ten minutes, and returns what it wrote and how long the longest
// invocation took after the canary was answered.
func invoked(t *testing.T, p Parts) (log string, longest time.Duration, canaries int) {
	t.Helper()
	var out strings.Builder
	p.Metrics, p.Logger = &out, slog.New(slog.NewJSONHandler(&out, nil))
	f, err := New(Options{Name: "shop", IngestURL: "http://127.0.0.1:1"}, p)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := f.Invoke(ctx, []byte("{}")); err != nil {
			t.Error(err)
		}
		longest = max(longest, time.Since(begun))
		cancel()
		time.Sleep(time.Minute - time.Since(begun))
	}
	return out.String(), longest, strings.Count(out.String(), `"msg":"the canary was `)
}

func TestEveryFiveMinutesTheTrafficIsComparedAndWhoHasGrownIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, canaries := invoked(t, Parts{Traffic: &fakeTraffic{}})
		for text, n := range map[string]int{
			`"TrafficRatio":20`: 2, `"LargestGrowth":20`: 2, `"Function":"canary"`: 12, `"part":"all"`: 2,
			`"msg":"a sender has grown","by":"event","name":"Loop","id":"","events":20000,"usual":1000,"times":20`: 2,
			`"name":"Run","id"`: 0,
		} {
			if got := strings.Count(log, text); got < n || n == 0 && got > 0 {
				t.Errorf("the log has %d times %s, want %d:\n%s", got, text, n, log)
			}
		}
		if canaries != 10 {
			t.Errorf("%d canaries were sent, want 10", canaries)
		}
	})
}

func TestAComparisonThatFailsOrHangsNeitherDelaysTheCanaryNorMakesItFail(t *testing.T) {
	for mode, want := range map[string]string{"fails": "AccessDenied", "hangs": "context deadline exceeded",
		"panics": "it panicked: bug"} {
		synctest.Test(t, func(t *testing.T) {
			parts := Parts{Traffic: &fakeTraffic{mode: mode}}
			if mode == "panics" {
				parts.Traffic = &panicking{}
			}
			log, longest, canaries := invoked(t, parts)
			if canaries != 10 || longest > 28*time.Second || !strings.Contains(log, want) {
				t.Errorf("%s: %d canaries, an invocation took %v:\n%s", mode, canaries, longest, log)
			}
		})
	}
}

func TestWithoutLogGroupsNothingIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if log, _, canaries := invoked(t, Parts{}); canaries != 10 || strings.Contains(log, "compared") {
			t.Errorf("%d canaries:\n%s", canaries, log)
		}
	})
}

func TestTheFunctionComparesTheLogGroupsInItsEnvironment(t *testing.T) {
	ingest := httptest.NewServer(http.NotFoundHandler())
	defer ingest.Close()
	environ := []string{"SPILLWAY_INGEST_URL=" + ingest.URL, "SPILLWAY_COMPARE_LOG_GROUPS=/aws/lambda/a,/aws/lambda/b",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/c"}
	f, err := FromEnvironment(t.Context(), environ, io.Discard)
	if err != nil || f.parts.Traffic == nil {
		t.Fatalf("nothing is compared: %v", err)
	}
	if f, err := FromEnvironment(t.Context(), environ[:1], io.Discard); err != nil || f.parts.Traffic != nil {
		t.Errorf("without log groups something is compared: %v", err)
	}
}
