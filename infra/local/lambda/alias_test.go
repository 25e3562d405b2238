package lambda

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// told makes environments that answer with a word, their version, and the ARN that was invoked.
func told(word string) EnvironmentFactory {
	return func(ctx context.Context, info FunctionInfo) (Environment, error) {
		return same(func(ctx context.Context, _ []byte) ([]byte, error) {
			lc, _ := lambdacontext.FromContext(ctx)
			return []byte(word + " " + info.Version + " " + nameIn(lc.InvokedFunctionArn)), nil
		})(ctx, info)
	}
}

// says checks an answer.
func says(t *testing.T, i Invoker, want string) {
	t.Helper()
	if got, err := i.Invoke(t.Context(), nil); string(got) != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestAVersionKeepsTheCodeWithWhichItWasPublished(t *testing.T) {
	inBubble(t, func() FunctionConfig { return FunctionConfig{Name: "deliver", NewEnvironment: told("old")} },
		func(t *testing.T, f *Function) {
			says(t, f, "old $LATEST deliver")
			one := f.Publish()
			says(t, one, "old 1 deliver:1")
			f.UpdateCode(told("new"))
			says(t, f, "new $LATEST deliver")
			says(t, one, "old 1 deliver:1")
			two := f.Publish()
			says(t, two, "new 2 deliver:2")
			says(t, one, "old 1 deliver:1")
			if again := f.Publish(); again != two || one.Number() != "1" || two.Number() != "2" {
				t.Errorf("published again without a change: version %s", again.Number())
			}
		})
}

func TestWhatIsUnderWayEndsWithTheCodeWithWhichItBegan(t *testing.T) {
	var closed atomic.Int64
	slow := func(ctx context.Context, info FunctionInfo) (Environment, error) {
		e, err := same(func(context.Context, []byte) ([]byte, error) {
			time.Sleep(time.Second)
			return []byte("old"), nil
		})(ctx, info)
		return &closing{e, &closed}, err
	}
	inBubble(t, func() FunctionConfig { return FunctionConfig{NewEnvironment: slow} }, func(t *testing.T, f *Function) {
		says(t, f, "old") // an environment is idle now
		var running sync.WaitGroup
		for range 2 {
			running.Go(func() { says(t, f, "old") })
		}
		synctest.Wait()
		f.UpdateCode(told("new"))
		says(t, f, "new $LATEST function")
		running.Wait()
		if closed.Load() != 2 {
			t.Errorf("%d of 2 environments with the old code have ended", closed.Load())
		}
	})
}

type closing struct {
	Environment
	closed *atomic.Int64
}

func (c *closing) Close() { c.closed.Add(1); c.Environment.Close() }

func TestAnAliasDividesItsInvocationsByTheWeight(t *testing.T) {
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{Name: "deliver", NewEnvironment: told("old")}
	}, func(t *testing.T, f *Function) {
		f.Publish()
		f.UpdateCode(told("new"))
		f.Publish()
		live, err := f.CreateAlias("live", Routing{Version: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if live.ARN() != f.ARN()+":live" {
			t.Errorf("the alias's ARN is %s", live.ARN())
		}
		live.Seed(7)
		for _, c := range []struct {
			to          Routing
			least, most int // of 1000
		}{
			{Routing{Version: "1"}, 0, 0},
			{Routing{Version: "1", Other: "2", Weight: 0.1}, 70, 130}, // three standard deviations
			{Routing{Version: "1", Other: "2"}, 0, 0},
			{Routing{Version: "1", Other: "2", Weight: 1}, 1000, 1000},
			{Routing{Version: "2"}, 1000, 1000},
		} {
			if err := live.Route(c.to); err != nil {
				t.Fatal(err)
			}
			n := 0
			for range 1000 {
				got, err := live.Invoke(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				switch string(got) {
				case "new 2 deliver:live":
					n++
				case "old 1 deliver:live":
				default:
					t.Fatalf("%q", got)
				}
			}
			if n < c.least || n > c.most {
				t.Errorf("%+v: %d of 1,000 invocations ran version 2, want %d to %d", c.to, n, c.least, c.most)
			}
		}
	})
}

func TestAWrongAliasIsRefusedWithAReason(t *testing.T) {
	inBubble(t, func() FunctionConfig { return FunctionConfig{NewEnvironment: told("old")} },
		func(t *testing.T, f *Function) {
			f.Publish()
			f.UpdateCode(told("new"))
			f.Publish()
			if _, err := f.CreateAlias("live", Routing{Version: "1"}); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name string
				to   Routing
				want string
			}{
				{"", Routing{Version: "1"}, "the name must be"},
				{"17", Routing{Version: "1"}, "not a number"},
				{"a b", Routing{Version: "1"}, "the name must be"},
				{"live", Routing{Version: "1"}, "it exists"},
				{"a", Routing{}, `no version ""`},
				{"a", Routing{Version: "3"}, `no version "3"`},
				{"a", Routing{Version: "0"}, `no version "0"`},
				{"a", Routing{Version: "+1"}, `no version "+1"`},
				{"a", Routing{Version: "1", Other: "9"}, `no version "9"`},
				{"a", Routing{Version: "1", Other: "1"}, "both versions are 1"},
				{"a", Routing{Version: "1", Weight: 0.5}, "no second version"},
				{"a", Routing{Version: "1", Other: "2", Weight: 1.1}, "must be 0 to 1"},
				{"a", Routing{Version: "1", Other: "2", Weight: -1}, "must be 0 to 1"},
				{"a", Routing{Version: Latest, Other: "2", Weight: 0.1}, "can't name $LATEST"},
				{"a", Routing{Version: "2", Other: Latest, Weight: 0.1}, "can't name $LATEST"},
			} {
				if _, err := f.CreateAlias(c.name, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%q to %+v: %v, want %q", c.name, c.to, err, c.want)
				}
			}
			latest, err := f.CreateAlias("latest", Routing{Version: Latest})
			if err != nil {
				t.Fatal(err)
			}
			says(t, latest, "new $LATEST function:latest")
			if err := latest.Route(Routing{Version: "4"}); err == nil || latest.Routing().Version != Latest {
				t.Errorf("%v, and it names %+v", err, latest.Routing())
			}
			if _, err := f.Qualified("5"); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
				t.Errorf("the version 5: %v", err)
			}
		})
}

// What is reserved is the function's: a deployment never runs more at the same time than before it.
func TestTheConcurrencyLimitHoldsAcrossAllVersions(t *testing.T) {
	var now, most atomic.Int64
	slow := same(func(context.Context, []byte) ([]byte, error) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(time.Second)
		now.Add(-1)
		return nil, nil
	})
	inBubble(t, func() FunctionConfig { return FunctionConfig{NewEnvironment: slow, ReservedConcurrency: 3} },
		func(t *testing.T, f *Function) {
			one := f.Publish()
			f.UpdateCode(slow)
			two := f.Publish()
			live, err := f.CreateAlias("live", Routing{Version: "1", Other: "2", Weight: 0.5})
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			var throttled atomic.Int64
			for _, i := range []Invoker{f, one, two, live, live, live, one, two} {
				all.Go(func() {
					switch _, err := i.Invoke(t.Context(), nil); {
					case errors.Is(err, ErrThrottled):
						throttled.Add(1)
					case err != nil:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if throttled.Load() != 5 || most.Load() != 3 {
				t.Errorf("%d of 8 were throttled, and %d ran at the same time; want 5 and 3", throttled.Load(), most.Load())
			}
		})
}

func TestAnEventSourceOnAnAliasFeedsBothVersionsWithinItsConcurrency(t *testing.T) {
	var mu sync.Mutex
	ran := map[string]int{}
	now, most := 0, 0
	count := func(ctx context.Context, info FunctionInfo) (Environment, error) {
		return same(func(context.Context, []byte) ([]byte, error) {
			mu.Lock()
			ran[info.Version]++
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return nil, nil
		})(ctx, info)
	}
	synctest.Test(t, func(t *testing.T) {
		f := NewFunction(FunctionConfig{Name: "deliver", NewEnvironment: count, ReservedConcurrency: 4})
		defer f.Close()
		f.Publish()
		f.UpdateCode(count)
		f.Publish()
		live, err := f.CreateAlias("live", Routing{Version: "1", Other: "2", Weight: 0.3})
		if err != nil {
			t.Fatal(err)
		}
		q := newMemQueue(time.Minute)
		q.send(600, 0)
		m, err := NewEventSourceMapping(MappingConfig{Queue: q, QueueARN: testARN, Function: live, BatchSize: 1,
			MaximumConcurrency: 4})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if s := m.Stats(); s.MessagesDeleted != 600 || s.Throttled != 0 || s.Peak > 4 {
			t.Errorf("%+v", s)
		}
		if ran["1"]+ran["2"] != 600 || ran["2"] < 120 || ran["2"] > 240 || most > 4 {
			t.Errorf("%v, at most %d at the same time", ran, most)
		}
	})
}
