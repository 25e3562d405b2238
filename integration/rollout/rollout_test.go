package rollout

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/codedeploy"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/emf"
)

var seeds = flag.Int("seeds", 1,
	"how many deployments of each bug are played: some tens, for a promise about 95 in 100")

// A promise holds for deployments of a bad version by steps.
const (
	wantShare   = 0.1             // of the invocations, expected
	mostShare   = 0.2             // in most of the deployments
	most        = 0.95            // of them
	invocations = 100             // that there must be, so that the share says anything
	backWithin  = 6 * time.Minute // in most of them too
)

// playAll plays plans, two at the same time.
func playAll(t *testing.T, n int, play func(*testing.T, plan) found,
	planOf func(seed uint64, r *rand.Rand) plan) []found {
	t.Helper()
	all := make([]found, n)
	var next sync.Mutex
	i := 0
	take := func() int {
		next.Lock()
		defer next.Unlock()
		i++
		return i - 1
	}
	var playing sync.WaitGroup
	for range 2 {
		playing.Go(func() {
			for k := take(); k < n; k = take() {
				seed := uint64(k)*37 + 1 // each begins at another second of its minute
				all[k] = play(t, planOf(seed, rand.New(rand.NewPCG(seed, 1))))
			}
		})
	}
	playing.Wait()
	return all
}

// busy is a deployment of a site with so much traffic that the share says something.
func busy(b bug) func(uint64, *rand.Rand) plan {
	return func(seed uint64, r *rand.Rand) plan {
		latest := 2 * time.Minute
		if b == stalls { // its errors come a minute later already
			latest = time.Minute
		}
		return plan{seed: seed, new: b, perMinute: 45 + 60*r.Float64(),
			// The hook would not let these two take over: the alarm must be able to do without it.
			noHook: b == crashes || b == stalls,
			lag:    time.Duration(r.Int64N(int64(latest))), poll: time.Duration(10+r.IntN(50)) * time.Second}
	}
}

// broken says which promises these deployments of bad versions do not keep.
func broken(all []found) (texts []string) {
	shares, over, total := 0, 0, 0.0
	var late []string
	for i := range all {
		f := &all[i]
		lasted := f.Ended.Sub(f.Shifted)
		switch {
		case f.Status == codedeploy.Succeeded: // what clients lose from then on is the bug's doing
			late = append(late, "it did not go back: "+f.String())
		case !f.Shifted.IsZero() && lasted > backWithin:
			late = append(late, fmt.Sprintf("it went back after %v: %s", lasted, f))
		}
		if f.lost > 0 && f.Status != codedeploy.Succeeded {
			texts = append(texts, "events are lost: "+f.String())
		}
		if f.during < invocations {
			continue
		}
		shares++
		share := float64(f.touched) / float64(f.during)
		total += share
		if share > mostShare {
			over++
		}
	}
	// By chance the version has too few of the invocations in one of the minutes that the alarm
	// sees.
	if float64(len(late)) > (1-most)*float64(len(all)) {
		texts = append(texts, late...)
	}
	if shares > 0 && float64(over) > (1-most)*float64(shares) {
		texts = append(texts, fmt.Sprintf("over %v of the invocations met the new version in %d of %d deployments", mostShare,
			over, shares))
	}
	if mean := total / float64(shares); shares >= 20 && (mean < 0.8*wantShare || mean > 1.2*wantShare) {
		texts = append(texts, fmt.Sprintf("on average %.3f of the invocations met the new version, not %v", mean, wantShare))
	}
	return texts
}

// summary says what deployments cost.
func summary(all []found) string {
	touched, dead, enough, longest := 0.0, 0, 0, time.Duration(0)
	for i := range all {
		f := &all[i]
		if f.during >= invocations {
			enough++
		}
		touched += float64(f.touched) / float64(f.during)
		dead += f.dead
		longest = max(longest, f.Ended.Sub(f.Shifted))
	}
	return fmt.Sprintf("%d deployments, %d of them with %d invocations and more; back after at most %v, %.3f of the "+
		"invocations were its, %d dead letters", len(all), enough, invocations, longest, touched/float64(len(all)), dead)
}

func TestABadVersionMeetsATenthOfTheInvocationsAndGoesBack(t *testing.T) {
	t.Parallel()
	for _, b := range []bug{mangles, hangs, crashes, stalls} {
		all := playAll(t, *seeds, play, busy(b))
		for _, text := range broken(all) {
			t.Errorf("%s: %s", b, text)
		}
		enough, dead := 0, 0
		for i := range all {
			f := &all[i]
			if dead += f.dead; f.during >= invocations {
				enough++
			}
			if f.peak > maximum(t) {
				t.Errorf("%s: %d invocations of both versions at the same time, want at most %d", b, f.peak, maximum(t))
			}
		}
		if len(all) >= 20 && 2*enough < len(all) || (dead > 0) != (b == mangles) {
			t.Errorf("%s: the deployments say too little: %s", b, summary(all))
		}
		t.Logf("%s: %s", b, summary(all))
	}
}

// maximum is how many invocations of deliver may run at the same time.
func maximum(t *testing.T) int {
	t.Helper()
	o := topology.DefaultOptions()
	o.Rollout = true
	d := topology.New(o)
	f, ok := d.Function(d.Names.DeliverFunction)
	if !ok || d.EventSources[0].MaximumConcurrency > f.ReservedConcurrency {
		t.Fatal("the event source may use more than is reserved")
	}
	return d.EventSources[0].MaximumConcurrency
}

// What would be a deployment's undoing is that something fails already, or that something else
// fails meanwhile.
func TestAGoodVersionTakesOverWhateverElseFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		plan plan
	}{
		{"all is well", plan{}},
		{"it mends a version that makes dead letters of everything", plan{old: mangles}},
		{"it mends a version that crashes", plan{old: crashes}},
		{"Segment answers nobody", plan{away: true}},
	} {
		all := playAll(t, max(1, *seeds/10), play, func(seed uint64, r *rand.Rand) plan {
			p := busy(noBug)(seed, r)
			p.old, p.away = c.plan.old, c.plan.away
			return p
		})
		for i := range all {
			if all[i].Status != codedeploy.Succeeded || all[i].lost > 0 {
				t.Errorf("%s: %s", c.name, &all[i])
			}
		}
	}
}

// quietSite is a deployment of a site whose tenth of the invocations may be none.
func quietSite(b bug) func(uint64, *rand.Rand) plan {
	return func(seed uint64, r *rand.Rand) plan {
		return plan{seed: seed, new: b, perMinute: 0.2 + 0.3*r.Float64(), lag: time.Minute,
			away: b == forgets} // only then has it something to forget
	}
}

func TestOnAQuietSiteTheHookKeepsABadVersionFromAllTraffic(t *testing.T) {
	t.Parallel()
	for _, b := range []bug{crashes, stalls, forgets} {
		all := playAll(t, max(1, *seeds/10), play, quietSite(b))
		for i := range all {
			if f := &all[i]; f.Status != codedeploy.Failed || !f.Shifted.IsZero() || f.touched > 0 || f.lost > 0 {
				t.Errorf("%s: %s", b, f)
			}
		}
		all = playAll(t, max(2, *seeds/10), play, func(seed uint64, r *rand.Rand) plan {
			p := quietSite(b)(seed, r)
			p.noHook = true
			return p
		})
		if texts := broken(all); !strings.Contains(strings.Join(texts, "\n"), "it did not go back") {
			t.Errorf("%s: without the hook every promise is kept, so the hook is good for nothing: %v", b, &all[0])
		}
	}
}

// withoutVersions lets an alarm watch all versions together.
func withoutVersions(a *topology.Alarm) {
	for i := range a.Metrics {
		if d := a.Metrics[i].Dimension; d == emf.VersionDimension || d == topology.ExecutedVersion {
			a.Metrics[i].Dimension, a.Metrics[i].Value = "", ""
		}
	}
}

// onEverything is the alarm that one would write first: something fails.
func onEverything(a *topology.Alarm) {
	withoutVersions(a)
	a.Expression = "IF(FILL(da, 0) + FILL(fa, 0) + FILL(ea, 0) > 0, 1, 0)"
}

func TestAnAlarmThatDoesNotKnowVersionsBreaksThePromises(t *testing.T) {
	t.Parallel()
	all := playAll(t, 1, play, func(seed uint64, r *rand.Rand) plan {
		p := busy(mangles)(seed, r)
		p.alarm = withoutVersions
		return p
	})
	if texts := broken(all); !strings.Contains(strings.Join(texts, "\n"), "it did not go back") {
		t.Errorf("an alarm that compares all versions with themselves: %q", texts)
	}
	all = playAll(t, 1, play, func(seed uint64, r *rand.Rand) plan {
		p := busy(noBug)(seed, r)
		p.old, p.alarm = mangles, onEverything
		return p
	})
	for i := range all {
		if all[i].Status == codedeploy.Succeeded {
			t.Errorf("an alarm on what fails already let the remedy through: %s", &all[i])
		}
	}
}
