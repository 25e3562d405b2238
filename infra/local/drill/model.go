package drill

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
)

// A model writes the minutes that are not played. In a calm minute what a pipeline writes follows
// from the load, so a minute is drawn from those that were played at the beginning: what does not
// depend on the load as it was in it, and what does, by the load of both minutes, with the noise of
// events that come independently of each other.
type model struct {
	*simulation
	rng      *rand.Rand
	quiet    pattern   // canaries only: means
	usual    []pattern // minutes with usual traffic
	observed []*observation
	load     float64 // of the usual minutes, simulated events/s
	events   int64   // that were modelled
	modelled int
}

// A pattern is a minute by metric.
type pattern map[cloudwatch.Key]summary

// A summary is a metric in a minute.
type summary struct{ sum, least, middle, most float64 }

func newModel(s *simulation) *model {
	return &model{simulation: s, rng: rand.New(rand.NewPCG(s.seed, 0x0de1))}
}

// learn reads the patterns when the last minute of them has ended.
func (m *model) learn() {
	first, n := int(patternFrom/time.Minute), int((patternUntil-patternFrom)/time.Minute)
	m.usual = make([]pattern, n)
	for i := range m.usual {
		m.usual[i] = m.read(patternFrom + time.Duration(i)*time.Minute)
	}
	// The first canary starts the environments, so its minute is no pattern.
	m.quiet = m.read(quietStart - 2*time.Minute)
	m.observed = m.minutes.all[first : first+n]
	for _, source := range []Source{FromAPI, FromSDKs, FromPartner} {
		m.load += m.simulation.load(source, patternFrom)
	}
}

// read is the pattern of the minute that begins so long after the start.
func (m *model) read(at time.Duration) pattern {
	p := pattern{}
	for _, k := range m.record.store.Keys() {
		if k.Queue == m.topology.Names.DeadLetterQueue {
			continue // it is read also while the rest is modelled
		}
		value := func(statistic string) float64 {
			v, err := m.record.store.Values(k, statistic, m.start.Add(at), time.Minute, 1)
			if err != nil {
				panic(err) // the statistics are constants
			}
			return v[0]
		}
		if s := (summary{value("Sum"), value("Minimum"), value("p50"), value("Maximum")}); !math.IsNaN(s.sum) {
			p[k] = s
		}
	}
	return p
}

// minute writes minute n.
func (m *model) minute(n int) error {
	since := time.Duration(n) * time.Minute
	load := 0.0
	for _, source := range []Source{FromAPI, FromSDKs, FromPartner} {
		load += m.simulation.load(source, since)
	}
	drawn, came := m.rng.IntN(len(m.usual)), m.poisson(load*60)
	ratio, noise := 0.0, 0.0
	if load > 0 {
		noise = came / (load * 60)
	}
	if m.load > 0 {
		ratio = came / (m.load * 60)
	}
	if !m.faults.active(NoMetrics) {
		m.write(m.start.Add(since), m.usual[drawn], ratio)
	}
	o := *m.observed[drawn]
	o.accepted, o.delivered, o.waiting = came*m.weight, came*m.weight, math.Round(o.waiting*ratio)
	answers := map[string]float64{}
	for class, n := range o.answers {
		answers[class] = math.Round(n * ratio)
	}
	o.answers = answers
	m.events += int64(came)
	m.modelled++
	m.minutes.set(n, o)
	m.history.model(m.start.Add(since), noise)
	return m.history.compare(m.start.Add(since))
}

// write puts the metrics of a minute: those of the pattern, with the counts of the load.
func (m *model) write(at time.Time, p pattern, ratio float64) {
	for _, k := range m.keys() {
		s, ok := p[k]
		if ratio == 0 || !ok {
			if s, ok = m.quiet[k]; !ok {
				continue
			}
		}
		if !isCount(k.Name) {
			m.record.store.Put(at, k, distinct(s)...)
			continue
		}
		few := m.quiet[k].sum
		count := math.Round(few + max(0, s.sum-few)*ratio)
		if count == 0 && k.Dimension != "" {
			continue // it is written only when there is something to count
		}
		m.record.store.Put(at, k, count)
	}
}

// keys are the metrics of all patterns, in an order that does not change.
func (m *model) keys() []cloudwatch.Key {
	seen := map[cloudwatch.Key]bool{}
	var all []cloudwatch.Key
	for _, p := range append(slices.Clone(m.usual), m.quiet) {
		for k := range p {
			if !seen[k] {
				seen[k] = true
				all = append(all, k)
			}
		}
	}
	slices.SortFunc(all, func(a, b cloudwatch.Key) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// distinct are the values that a summary stands for.
func distinct(s summary) []float64 {
	if s.least == s.most {
		return []float64{s.most}
	}
	return []float64{s.least, s.middle, s.most}
}

// poisson draws how many events come when mean come on average.
func (m *model) poisson(mean float64) float64 {
	if mean > 50 { // close enough to the normal distribution
		return max(0, math.Round(mean+math.Sqrt(mean)*m.rng.NormFloat64()))
	}
	limit, product, n := math.Exp(-mean), m.rng.Float64(), 0.0
	for product > limit {
		product *= m.rng.Float64()
		n++
	}
	return n
}
