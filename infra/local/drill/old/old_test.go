package old

import (
	"math"
	"testing"
	"time"
)

var midnight = time.Date(2018, 9, 24, 0, 0, 0, 0, time.UTC)

// minutes is this traffic, in events a second, for so many minutes.
func minutes(n int, perSecond float64, answer time.Duration) []Minute {
	all := make([]Minute, n)
	for i := range all {
		all[i] = Minute{Events: perSecond * 60, Answer: answer}
	}
	return all
}

func away(all []Minute) []Minute {
	for i := range all {
		all[i].Away = true
	}
	return all
}

func about(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within*want {
		t.Errorf("%s is %.4g, want %.4g ± %.0f %%", what, got, want, within*100)
	}
}

// rate is how many jobs a second these workers do of a backlog.
func rate(p Params, answer time.Duration) float64 {
	p.BoundJobs, p.RepairAfter = 1e9, 1e6*time.Hour
	backlog := append(minutes(60, 1e5, answer), minutes(10, 0, answer)...)
	d := Play(midnight, backlog, p)
	return (d.Jobs[59] - d.Jobs[69]) / 600
}

// The first three rates were measured with asynq, analytics-go with these settings and a Segment
// that answers in 50 ms; 500 workers did 4,986, when the machine had no more to give.
func TestWorkersDoAsManyJobsAsTheRealOnesDid(t *testing.T) {
	for _, c := range []struct {
		workers, perClient int
		answer             time.Duration
		want, within       float64
	}{
		{10, 10, 50 * time.Millisecond, 1, 0.02},
		{100, 100, 50 * time.Millisecond, 1665, 0.02},
		{500, 500, 90 * time.Millisecond, 4986, 0.02},
		{10, 10, 10 * time.Second, 0.5, 0.02}, // a slow Segment halves what the waiting has left
		{19, 19, 50 * time.Millisecond, 1.89, 0.02},
		{20, 20, 50 * time.Millisecond, 333, 0.02}, // one worker more fills the client: the defect in a line
	} {
		p := Sized(1)
		p.Workers, p.WorkersPerClient = c.workers, c.perClient
		if got := rate(p, c.answer); math.Abs(got-c.want) > c.within*c.want {
			t.Errorf("%d workers, %d to a client, answers after %v: %.4g jobs/s, want %.4g", c.workers, c.perClient, c.answer,
				got, c.want)
		}
	}
}

func TestTheUsualTrafficNeverFillsRedis(t *testing.T) {
	for _, peak := range []float64{0.1, 1, 20, 1000, 20_000} {
		d := Play(midnight, minutes(24*60, peak, usualAnswer), Sized(peak))
		if d.FullAt != nil || len(d.Stops) > 0 || d.RefusedTotal != 0 || d.DrainedAt != nil {
			t.Errorf("at %v events/s: full at %v, stops %v, %d refused", peak, d.FullAt, d.Stops, d.RefusedTotal)
		}
		about(t, "what is delivered", float64(d.Delivered), 24*3600*peak, 0.001)
	}
}

// As the post-mortem tells it: 100,000 jobs, the API down for four hours, and with more concurrency
// all was done in about a minute. Ten workers did one job a second; eight events a second came.
func TestTheIncidentComesOutAsItsPostMortemTells(t *testing.T) {
	p := Sized(0.8)
	if p.Workers != 10 {
		t.Fatalf("%d workers, want the 10 that were measured", p.Workers)
	}
	day := append(minutes(2*60, 0.8, usualAnswer), minutes(12*60, 8, usualAnswer)...)
	d := Play(midnight, day, p)
	if d.FullAt == nil || len(d.Stops) != 1 || d.Stops[0].To == nil || d.DrainedAt == nil {
		t.Fatalf("full at %v, stops %v, drained at %v: want one stop that ends", d.FullAt, d.Stops, d.DrainedAt)
	}
	about(t, "the jobs when it is full", d.Jobs[7*60], 100_000, 0.001)
	about(t, "hours until it is full", d.FullAt.Sub(midnight).Hours(), 2+100_000/7.0/3600, 0.02)
	about(t, "hours of the stop", d.DownSeconds/3600, 4, 0.01)
	about(t, "seconds of the drain", d.DrainedAt.Sub(*d.Stops[0].To).Seconds(), 60, 0.1)
	about(t, "refused", float64(d.RefusedTotal), 4*3600*7, 0.01)
	about(t, "bytes when it is full", d.Bytes[7*60], 172e6, 0.001)
}

func TestSegmentAway(t *testing.T) {
	p := Sized(20)
	for _, c := range []struct {
		name           string
		day            []Minute
		full, down     float64 // minutes; 0: never
		stops          int
		drained, lasts bool // the drain ends in the day; the last stop has no end
	}{
		{"for an hour: the memory is enough", append(away(minutes(60, 20, 0)), minutes(23*60, 20, usualAnswer)...),
			0, 0, 0, false, false},
		{"for three hours: full after 83 minutes, until Segment is back",
			append(away(minutes(180, 20, 0)), minutes(21*60, 20, usualAnswer)...), 83.3, 96.7, 1, true, false},
		{"with twice the traffic: full after 42 minutes, until people raise the concurrency",
			append(away(minutes(180, 40, 0)), minutes(21*60, 40, usualAnswer)...), 41.7, 240, 1, true, false},
		{"for longer than the repair: until Segment is back",
			append(away(minutes(10*60, 20, 0)), minutes(14*60, 20, usualAnswer)...), 83.3, 516.7, 1, true, false},
		{"to the end", away(minutes(24*60, 20, 0)), 83.3, 24*60 - 83.3, 1, false, true},
		{"slow for five hours, 10 s an answer: the workers do 12 a second",
			append(minutes(300, 20, 10*time.Second), minutes(19*60, 20, usualAnswer)...), 100_000 / 7.9 / 60, 89, 1, true, false},
		{"away while nobody comes", away(minutes(24*60, 0, 0)), 0, 0, 0, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Play(midnight, c.day, p)
			if (d.FullAt != nil) != (c.full > 0) {
				t.Fatalf("full at %v, want after %v min", d.FullAt, c.full)
			}
			if c.full > 0 {
				about(t, "minutes until it is full", d.FullAt.Sub(midnight).Minutes(), c.full, 0.02)
				about(t, "minutes down", d.DownSeconds/60, c.down, 0.02)
			}
			if len(d.Stops) != c.stops || c.stops > 0 && (d.Stops[c.stops-1].To == nil) != c.lasts {
				t.Errorf("stops %v, want %d", d.Stops, c.stops)
			}
			if (d.DrainedAt != nil) != c.drained {
				t.Errorf("drained at %v", d.DrainedAt)
			}
		})
	}
}

// A trickle leaves room for a while, again and again; the API is not up until it has worked for a
// minute.
func TestAStopEndsWhenTheAPIWorksForAMinute(t *testing.T) {
	p := Sized(20)
	p.BoundJobs, p.RepairAfter = 1000, time.Hour
	var day []Minute
	for range 5 {
		day = append(day, away(minutes(10, 20, 0))...)
		day = append(day, minutes(30, 1, usualAnswer)...)
	}
	d := Play(midnight, day, p)
	if len(d.Stops) != 5 {
		t.Fatalf("%d stops, want one for each time that Segment was away: %v", len(d.Stops), d.Stops)
	}
	var down float64
	for i, s := range d.Stops {
		if s.To == nil || !s.To.After(s.From) || i > 0 && s.From.Before(*d.Stops[i-1].To) {
			t.Errorf("stop %d is from %v to %v", i, s.From, s.To)
			continue
		}
		down += s.To.Sub(s.From).Seconds()
	}
	about(t, "the seconds down", d.DownSeconds, down, 0)
	if first := d.Stops[0]; first.To != nil && !first.To.Equal(midnight.Add(10*time.Minute)) {
		t.Errorf("the first stop ends at %v, want when Segment is back", first.To)
	}
}

func TestEveryEventIsDeliveredWaitsOrWasRefused(t *testing.T) {
	for _, peak := range []float64{0, 0.5, 20, 333} {
		for _, hours := range []int{0, 1, 5, 30} {
			day := append(away(minutes(hours*60, peak, 0)), minutes(180, peak*1.3, 3*time.Second)...)
			d := Play(midnight, day, Sized(peak))
			if d.Delivered+d.Waiting != d.Accepted || d.Delivered < 0 || d.Waiting < 0 || d.RefusedTotal < 0 {
				t.Errorf("%v events/s, away %d h: %+v", peak, hours, d)
			}
			var came float64
			for i, m := range day {
				came += m.Events
				if d.Jobs[i] < 0 || d.Bytes[i] > d.BoundBytes || d.Refused[i] < 0 || d.Refused[i] > m.Events+1e-6 {
					t.Fatalf("minute %d: %v jobs, %v bytes, %v refused", i, d.Jobs[i], d.Bytes[i], d.Refused[i])
				}
			}
			if got := d.Accepted + d.RefusedTotal; got != int64(math.Round(came)) {
				t.Errorf("%d accepted or refused of %v", got, came)
			}
		}
	}
}

func TestEveryParameterHasItsSource(t *testing.T) {
	d := Play(midnight, nil, Sized(20))
	for _, p := range d.Parameters {
		if p.Name == "" || p.Value == "" || len(p.Source) < 20 {
			t.Errorf("%+v", p)
		}
	}
	if len(d.Parameters) == 0 {
		t.Error("there is no parameter")
	}
}
