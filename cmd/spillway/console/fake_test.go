package console

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/topology"
)

// A fake is a Source whose answers a test chooses. A nil function answers with nothing. It is safe
// for concurrent use.
type fake struct {
	about       About
	metrics     func(m topology.Metric, at time.Time, period time.Duration) float64
	now         func() (Now, error)
	alarms      func() ([]Alarm, error)
	refusals    func(from time.Time) (Refusals, error)
	senders     func() (top.Report, error)
	writeKeys   func() ([]WriteKey, error)
	samples     func(SampleQuery) ([]Sample, error)
	deadLetters DeadLetters
	find        func(query string) (Story, error)
	switches    Switches
	cost        string

	mu    sync.Mutex
	calls map[string]int // by method
	// broken are the methods that fail, and hanging those that answer when their context ends.
	broken, hanging map[string]bool
}

var errBroken = errors.New("the source is broken <b>&")

// called counts a call, and fails it if the test says so.
func (f *fake) called(ctx context.Context, method string) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[method]++
	broken, hanging := f.broken[method], f.hanging[method]
	f.mu.Unlock()
	if hanging {
		<-ctx.Done()
		return ctx.Err()
	}
	if broken {
		return errBroken
	}
	return nil
}

func (f *fake) About() About { return f.about }

func (f *fake) Metrics(ctx context.Context, metrics []topology.Metric, from time.Time, period time.Duration,
	n int) ([][]float64, error) {
	if err := f.called(ctx, "Metrics"); err != nil {
		return nil, err
	}
	all := make([][]float64, len(metrics))
	for i, m := range metrics {
		all[i] = make([]float64, n)
		for j := range all[i] {
			all[i][j] = math.NaN()
			if f.metrics != nil {
				all[i][j] = f.metrics(m, from.Add(time.Duration(j)*period), period)
			}
		}
	}
	return all, nil
}

func answer[T any](ctx context.Context, f *fake, method string, do func() (T, error)) (none T, err error) {
	if err := f.called(ctx, method); err != nil || do == nil {
		return none, err
	}
	return do()
}

func (f *fake) Now(ctx context.Context) (Now, error) { return answer(ctx, f, "Now", f.now) }

func (f *fake) Alarms(ctx context.Context, _ time.Time) ([]Alarm, error) {
	return answer(ctx, f, "Alarms", f.alarms)
}

func (f *fake) Refusals(ctx context.Context, from, _ time.Time) (Refusals, error) {
	return answer(ctx, f, "Refusals", func() (Refusals, error) {
		if f.refusals == nil {
			return Refusals{}, nil
		}
		return f.refusals(from)
	})
}

func (f *fake) Senders(ctx context.Context, _ time.Duration) (top.Report, error) {
	return answer(ctx, f, "Senders", f.senders)
}

func (f *fake) WriteKeys(ctx context.Context) ([]WriteKey, error) {
	return answer(ctx, f, "WriteKeys", f.writeKeys)
}

func (f *fake) Samples(ctx context.Context, q SampleQuery) ([]Sample, error) {
	return answer(ctx, f, "Samples", func() ([]Sample, error) {
		if f.samples == nil {
			return nil, nil
		}
		return f.samples(q)
	})
}

func (f *fake) DeadLetters() DeadLetters { return f.deadLetters }

func (f *fake) Find(ctx context.Context, query string, _ int) (Story, error) {
	return answer(ctx, f, "Find", func() (Story, error) {
		if f.find == nil {
			return Story{Query: query}, nil
		}
		return f.find(query)
	})
}

func (f *fake) Switches() Switches { return f.switches }

func (f *fake) Cost() string { return f.cost }

// A pricedFake is charged for the senders.
type pricedFake struct{ *fake }

func (f *pricedFake) SendersPrice(ctx context.Context, _ time.Duration) (string, error) {
	return answer(ctx, f.fake, "SendersPrice", func() (string, error) { return "$0.02 for 4.1 GB of logs", nil })
}
