package contents

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

func TestAQueueOnAWSIsReadOnRequestAndKeptForAllViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 3))
		b := newBench(t)
		d := NewDeployed(b.actions)
		defer d.Close()
		for i := range 120 {
			b.sendDead(t, randomDead(rng, i))
		}
		before := b.dead.Stats().Received
		if _, err := d.List(t.Context(), console.DeadLetterQuery{Limit: 50}); !errors.Is(err, console.ErrNotRead) {
			t.Fatalf("before anybody asked: %v", err)
		}
		if st := b.dead.Stats(); st.Received != before || d.Reading().Running || !d.Reading().OnRequest {
			t.Fatalf("it was read before anybody asked: %+v, %+v", st, d.Reading())
		}
		d.Read()
		d.Read() // another viewer
		synctest.Wait()
		time.Sleep(10 * time.Second)
		state := d.Reading()
		if st := b.dead.Stats(); state.Running || state.Err != nil || state.Read != 120 || state.At.IsZero() ||
			st.Received != before+120 ||
			st.Visible != 120 {
			t.Fatalf("%+v, %+v: each must be received once, and be visible again", state, st)
		}
		for _, s := range []dlq.Selection{{}, {Reasons: []string{"rejected"}}, {Users: []string{"u1"}},
			{WriteKeys: []string{"shop web"}}} {
			f, _ := s.Filter(d.Name)
			want, err := deadletter.New(b.api, b.actions.DeadLetterURL).List(t.Context(), f, 0, d.Name)
			if err != nil {
				t.Fatal(err)
			}
			received := b.dead.Stats().Received
			got, err := d.List(t.Context(), console.DeadLetterQuery{Selection: s, Limit: 200})
			if err != nil || got.Total != want.Total || len(got.Rows) != want.Total ||
				fmt.Sprint(got.Groups) != fmt.Sprint(want.Groups) {
				t.Errorf("%+v: %d of %d, %v: %v, want %v", s, got.Total, want.Total, err, got.Groups, want.Groups)
			}
			if b.dead.Stats().Received != received {
				t.Error("a page has received messages")
			}
		}
	})
}

func TestAReadingThatIsStoppedPutsEverythingBack(t *testing.T) {
	for _, how := range []string{"stop", "close"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			slow := &slowAPI{Client: b.api, delay: time.Second}
			b.actions.API = slow
			d := NewDeployed(b.actions)
			defer d.Close()
			for i := range 400 {
				b.sendDead(t, randomDead(rand.New(rand.NewPCG(1, 1)), i))
			}
			d.Read()
			time.Sleep(1500 * time.Millisecond)
			if st, s := b.dead.Stats(), d.Reading(); st.InFlight == 0 || !s.Running || s.Read == 0 || s.Of < 100 {
				t.Fatalf("%+v, %+v", st, s)
			}
			if how == "stop" {
				d.StopReading()
				time.Sleep(10 * time.Second)
			} else {
				d.Close()
			}
			if st, s := b.dead.Stats(), d.Reading(); st.Visible != 400 || s.Running || s.Err == nil || !s.At.IsZero() {
				t.Errorf("%s: %+v, %+v", how, st, s)
			}
			if how == "stop" { // and it can be read again
				d.Read()
				time.Sleep(time.Minute)
				if s := d.Reading(); s.Err != nil || s.Read != 400 {
					t.Errorf("the second reading: %+v", s)
				}
			}
		})
	}
}

// slowAPI takes its time for a receive.
type slowAPI struct {
	*awssqs.Client
	delay time.Duration
}

func (s *slowAPI) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput,
	o ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	time.Sleep(s.delay)
	return s.Client.ReceiveMessage(ctx, in, o...)
}

func TestAPayloadOfAQueueOnAWSIsReceivedAndPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		d := NewDeployed(b.actions)
		defer d.Close()
		b.sendDead(t, message.DeadLetter{ID: "x", Reason: message.ReasonRejected,
			Header: message.Header{WriteKey: "the-shop-key"},
			Events: [][]byte{[]byte(`{"type":"track","userId":"anna"}`)}})
		p, err := d.Payload(t.Context(), "x")
		if err != nil || p == nil || p.WriteKey != "shop web" || !strings.Contains(string(p.Batch[0]), "anna") {
			t.Errorf("%+v, %v", p, err)
		}
		if p, err := d.Payload(t.Context(), "y"); p != nil || err != nil {
			t.Errorf("another: %+v, %v", p, err)
		}
		if st := b.dead.Stats(); st.Visible != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAnErrorOfAReadingIsShownAndTheLastListingStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		d := NewDeployed(b.actions)
		defer d.Close()
		b.sendDead(t, randomDead(rand.New(rand.NewPCG(1, 1)), 1))
		d.Read()
		time.Sleep(5 * time.Second)
		if s := d.Reading(); s.Running || s.Err != nil {
			t.Fatalf("the first reading: %+v", s)
		}
		d.DeadLetterURL += "-gone"
		d.Read()
		time.Sleep(5 * time.Second)
		got, err := d.List(t.Context(), console.DeadLetterQuery{Limit: 50})
		if s := d.Reading(); err != nil || got.Total != 1 || s.Err == nil || s.Running {
			t.Errorf("%+v, %v, %+v", got, err, s)
		}
	})
}

func TestDeadLettersOfTheSamePlaceAreAllListed(t *testing.T) {
	d := NewDeployed(Actions{Name: func(k string) string { return k }})
	x := newIndex()
	for i := range 5 {
		rec := &record{place: 7, identity: deadletter.Identity{byte(i)}, entry: &deadletter.Entry{ID: fmt.Sprint(i)}}
		x.putBeside(rec, groupKey{reason: "rejected"})
	}
	d.index = x
	if got, err := d.List(t.Context(), console.DeadLetterQuery{Limit: 50}); err != nil || got.Total != 5 ||
		len(got.Rows) != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}
