package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const sampled = 100 * time.Millisecond

// A sample is what the terminals showed at a time since the beginning.
type sample struct {
	at      time.Duration
	screens []screen
}

// A wait is a time that is played faster.
type wait struct{ from, to time.Duration }

// A recording is what was seen of a run.
type recording struct {
	samples []sample
	waits   []wait
	lasted  time.Duration
	texts   []string // all that the terminals have shown, with wrapped lines whole
}

// record plays the scenario. With hurry the steps follow each other at once.
func record(ctx context.Context, t *terminals, hurry bool) (*recording, error) {
	var r recording
	began := time.Now()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan error, 1)
	go func() {
		ticker := time.NewTicker(sampled)
		defer ticker.Stop()
		for {
			if err := r.sample(ctx, t, time.Since(began)); err != nil {
				watched <- err
				return
			}
			select {
			case <-watching.Done():
				watched <- nil
				return
			case <-ticker.C:
			}
		}
	}()
	typed := ""
	for _, s := range scenario {
		if s.typed != "" {
			typed = s.typed
			if err := t.enter(ctx, s.in, s.typed); err != nil {
				return nil, err
			}
		}
		from := time.Since(began)
		if err := s.wait(ctx, t, typed); err != nil {
			return nil, err
		}
		if s.fast {
			r.waits = append(r.waits, wait{from, time.Since(began)})
		}
		if !hurry {
			time.Sleep(s.hold)
		}
	}
	stop()
	if err := <-watched; err != nil {
		return nil, err
	}
	r.lasted = time.Since(began)
	return &r, nil
}

// sample adds what the terminals show now.
func (r *recording) sample(ctx context.Context, t *terminals, at time.Duration) error {
	screens := make([]screen, len(panes))
	for i := range panes {
		var err error
		if screens[i], err = t.screen(ctx, i); err != nil {
			return err
		}
		text, err := t.text(ctx, i)
		if err != nil {
			return err
		}
		if !slices.Contains(r.texts, text) {
			r.texts = append(r.texts, text)
		}
	}
	r.samples = append(r.samples, sample{at, screens})
	return nil
}

// wait returns when the terminal shows what the step is about. typed was typed last.
func (s *step) wait(ctx context.Context, t *terminals, typed string) error {
	if s.until == nil {
		return nil
	}
	text := ""
	for began := time.Now(); time.Since(began) < longest; time.Sleep(sampled) {
		var err error
		if text, err = t.text(ctx, s.of); err != nil {
			return err
		}
		if s.until.MatchString(text) {
			return nil
		}
	}
	return fmt.Errorf("after %q the terminal of %s does not show %s within %s; it shows\n%s", typed, panes[s.of].name,
		s.until, longest, text)
}

// played is when the recording shows what happened at a time since the beginning.
func (r *recording) played(at time.Duration) time.Duration {
	play := at
	for _, w := range r.waits {
		if length := w.to - w.from; length > waitPlayed && at > w.from {
			in := min(at, w.to) - w.from
			play -= in - time.Duration(float64(in)*float64(waitPlayed)/float64(length))
		}
	}
	return play
}
