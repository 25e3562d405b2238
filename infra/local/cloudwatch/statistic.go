package cloudwatch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A point is what is known of a metric's values in one minute or more.
type point struct {
	summary
	distribution []bucket // by index; empty while all values are the same
}

type summary struct{ count, sum, min, max float64 }

// A bucket counts values between two powers of growth.
type bucket struct {
	index int16
	count uint32
}

// growth is the ratio of a bucket's bounds: its middle is within 2.5 % of each value in it.
const growth = 1.05

// maxBuckets bounds a minute's distribution to 1 KB. Beyond it the smallest values share a bucket,
// so the upper percentiles, which people ask for, stay exact to 2.5 %.
const maxBuckets = 128

// zeroIndex is the bucket of 0 and of all that is not positive: no metric of ours has such values
// with percentiles.
const zeroIndex = math.MinInt16

func indexOf(v float64) int16 {
	if v <= 0 {
		return zeroIndex
	}
	return int16(min(max(math.Floor(math.Log(v)/math.Log(growth)), zeroIndex+1), math.MaxInt16))
}

// middle is the value that stands for all in a bucket.
func (b bucket) middle() float64 {
	if b.index == zeroIndex {
		return 0
	}
	return math.Pow(growth, float64(b.index)+0.5)
}

func (p *point) add(v float64) {
	if p.count > 0 && (v != p.min || v != p.max) {
		p.spread()
		p.insert(indexOf(v), 1)
	}
	if p.count == 0 {
		p.min, p.max = v, v
	}
	p.count++
	p.sum += v
	p.min, p.max = min(p.min, v), max(p.max, v)
}

// spread begins the distribution with the values so far, which are all the same.
func (p *point) spread() {
	if len(p.distribution) == 0 {
		p.insert(indexOf(p.min), uint32(p.count))
	}
}

func (p *point) insert(index int16, count uint32) {
	i, found := slices.BinarySearchFunc(p.distribution, index,
		func(b bucket, index int16) int { return cmp.Compare(b.index, index) })
	if found {
		p.distribution[i].count += count
		return
	}
	p.distribution = slices.Insert(p.distribution, i, bucket{index, count})
	if len(p.distribution) > maxBuckets {
		p.distribution[1].count += p.distribution[0].count
		p.distribution = slices.Delete(p.distribution, 0, 1)
	}
}

// merge adds the values of another point, which it does not change.
func (p *point) merge(other summary, distribution []bucket) {
	if p.count == 0 {
		p.summary, p.distribution = other, slices.Clone(distribution)
		return
	}
	if p.min != other.min || p.max != other.max || len(p.distribution) > 0 || len(distribution) > 0 {
		p.spread()
		if len(distribution) == 0 {
			p.insert(indexOf(other.min), uint32(other.count))
		}
		for _, b := range distribution {
			p.insert(b.index, b.count)
		}
	}
	p.summary.merge(other)
}

// merge adds the values of another summary.
func (s *summary) merge(other summary) {
	if s.count == 0 {
		*s = other
		return
	}
	s.count += other.count
	s.sum += other.sum
	s.min, s.max = min(s.min, other.min), max(s.max, other.max)
}

// percentile is the value below which this share of the values lies.
func (s summary) percentile(distribution []bucket, share float64) float64 {
	if len(distribution) == 0 {
		return s.min
	}
	rank, below := share*s.count-1e-6, 0.0 // 0.999 * 1000 is a little more than 999
	for _, b := range distribution {
		if below += float64(b.count); below >= rank {
			return min(max(b.middle(), s.min), s.max)
		}
	}
	return s.max
}

// A statistic makes one value of those of a period.
type statistic struct {
	name  string  // one of statistics; empty: a percentile
	share float64 // of a percentile
}

// statistics are those by CloudWatch's names.
var statistics = [...]string{"Sum", "Minimum", "Maximum", "Average", "SampleCount"}

// of returns NaN where there is no value.
func (s statistic) of(all summary, distribution []bucket) float64 {
	if all.count == 0 {
		return math.NaN()
	}
	switch s.name {
	case "Sum":
		return all.sum
	case "Minimum":
		return all.min
	case "Maximum":
		return all.max
	case "Average":
		return all.sum / all.count
	case "SampleCount":
		return all.count
	}
	return all.percentile(distribution, s.share)
}

// parseStatistic knows the statistics by CloudWatch's names, and percentiles like p99 and p99.9.
func parseStatistic(name string) (statistic, error) {
	if slices.Contains(statistics[:], name) {
		return statistic{name: name}, nil
	}
	if digits, ok := strings.CutPrefix(name, "p"); ok {
		if share, err := strconv.ParseFloat(digits, 64); err == nil && share >= 0 && share <= 100 {
			return statistic{share: share / 100}, nil
		}
	}
	return statistic{}, fmt.Errorf("unknown statistic %q (known: %s, and percentiles like p99)", name,
		strings.Join(statistics[:], ", "))
}
