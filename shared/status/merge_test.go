package status_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

// random is a document of one of two writers that see the same pipelines, each in its own bucket,
// and operators who write to either.
func random(r *rand.Rand, writer string) status.Document {
	d, now := status.New(), noon
	for range 40 + r.IntN(60) {
		sight := []status.Sight{status.Up, status.Up, status.Up, status.Slow, status.Down, status.Unknown}[r.IntN(6)]
		for range 1 + r.IntN(15) {
			o := look(now, status.Up, sight, time.Minute)
			o.Writer = writer
			d = status.Observe(d, o, now)
			now = now.Add(time.Minute)
		}
		switch r.IntN(12) {
		case 0:
			_, _ = d.Post(status.Message{Title: "post " + writer, Text: "x"}, now) // it may be the one too many
		case 1:
			_, _ = d.Schedule(status.Work{Title: "work", From: now, Until: now.Add(time.Hour)}, now)
		case 2:
			if len(d.Incidents) > 0 {
				_, _ = d.Update(d.Incidents[0].ID, status.Message{Text: "update " + writer}, now) // it may be closed
			}
		}
	}
	return d
}

func TestMergingIsTheSameInEitherOrderAndTwiceChangesNothing(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b := random(r, "a"), random(r, "b")
		ab, ba := status.Merge(a, b), status.Merge(b, a)
		if string(ab.Encode()) != string(ba.Encode()) {
			t.Fatalf("seed %d: the order matters:\n%s\n%s", seed, ab.Encode(), ba.Encode())
		}
		if again := status.Merge(ab, ab); string(again.Encode()) != string(ab.Encode()) {
			t.Fatalf("seed %d: with itself it becomes another one:\n%s\n%s", seed, ab.Encode(), again.Encode())
		}
		// Two functions that read each other's bucket each minute come to an end.
		for range 3 {
			a, b = status.Merge(a, b), status.Merge(b, a)
		}
		c := status.Merge(a, b)
		if again := status.Merge(c, a); string(again.Encode()) != string(c.Encode()) {
			t.Errorf("seed %d: merging does not come to an end", seed)
		}
	}
}

func TestWhatAnOperatorWroteToOneOfTwoBucketsIsInBoth(t *testing.T) {
	a, now := play(status.New(), noon, step{5, status.Up, status.Down})
	b, _ := play(status.New(), noon.Add(20*time.Second), step{5, status.Up, status.Down})
	if a.Incidents[0].ID == "" || len(b.Incidents) != 1 {
		t.Fatal("each has one automatic incident")
	}
	must(b.Update(b.Incidents[0].ID, status.Message{Title: "Segment is away", Text: "We wait."}, now))
	must(a.Post(status.Message{Title: "Another", Text: "thing"}, now))
	d := status.Merge(a, b)
	if len(d.Incidents) != 2 {
		t.Fatalf("there are %d incidents, want the operator's, and one that both writers have opened", len(d.Incidents))
	}
	i := d.Incidents[1]
	if i.ID != a.Incidents[1].ID || i.Title != "Segment is away" || i.Updates[len(i.Updates)-1].Text != "We wait." {
		t.Errorf("it is %+v", i)
	}
	wantTexts(t, i, "Events are accepted and safe. None are delivered at present. The oldest has waited for 2 minutes.",
		"We wait.")
}
