package lambda

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestADisabledMappingReceivesNothingAndFinishesWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemQueue(time.Minute)
		q.send(3, 100)
		r := start(t, q, FunctionConfig{Timeout: time.Minute}, MappingConfig{}, take(10*time.Second))
		defer r.end()
		time.Sleep(time.Second)
		r.mapping.SetEnabled(false)
		r.mapping.SetEnabled(false) // twice is as once
		q.send(5, 100)
		time.Sleep(time.Minute)
		if got := r.mapping.Stats(); r.mapping.Enabled() || got.MessagesReceived != 3 || got.MessagesDeleted != 3 || got.Pollers != 0 {
			t.Errorf("while it is disabled: %+v", got)
		}
		r.mapping.SetEnabled(true)
		q.empty()
		if got := r.mapping.Stats(); !r.mapping.Enabled() || got.MessagesDeleted != 8 || got.Pollers != initialPollers {
			t.Errorf("after it was enabled again: %+v", got)
		}
	})
}

func TestAMappingThatIsDisabledFromTheBeginningWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemQueue(time.Minute)
		q.send(3, 100)
		m, err := NewEventSourceMapping(MappingConfig{Queue: q, QueueARN: testARN,
			Function: NewFunction(FunctionConfig{NewEnvironment: same(nil)})})
		if err != nil {
			t.Fatal(err)
		}
		m.SetEnabled(false)
		ended := make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- m.Run(ctx) }()
		time.Sleep(time.Hour)
		if got := m.Stats(); got.MessagesReceived != 0 {
			t.Errorf("it has received %d messages", got.MessagesReceived)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Whoever switches fast gets the last state, and every message is done once.
func TestAMappingThatIsSwitchedOftenLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemQueue(0)
		r := start(t, q, FunctionConfig{}, MappingConfig{}, take(70*time.Millisecond))
		defer r.end()
		for i := range 200 {
			q.send(2, 100)
			r.mapping.SetEnabled(i%2 == 0)
			time.Sleep(time.Duration(i%7) * 10 * time.Millisecond)
		}
		r.mapping.SetEnabled(true)
		q.empty()
		if got := r.mapping.Stats(); got.MessagesDeleted != 400 || got.MessagesFailed != 0 {
			t.Errorf("%+v", got)
		}
	})
}
