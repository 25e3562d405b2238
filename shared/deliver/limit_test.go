package deliver

import (
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestTheConcurrencyLimitGrowsWithSuccessAndBeginsAgainAtOneBatch(t *testing.T) {
	for _, c := range []struct {
		what  string
		steps string // g: grow by a full batch, s: by a small one, c: cut
		want  float64
	}{
		{"it begins open", "", 8},
		{"and does not grow beyond its most", "gggs", 8},
		{"a cut begins at one, which may be small", "c", 1.0 / 8},
		{"each success adds one up to half of what was", "cggg", 3.125},
		{"or an eighth, if it was small", "csss", 4.0 / 8},
		{"and then as many as the limit add one", "cggggg", 4.125 + 1/4.125},
		{"and as many small ones an eighth", "cggggs", 4.125 + 1/4.125/8},
		{"until it is open again", "cggggggggggggggggggggggggggggggg", 8},
		{"a second cut in a row leaves nothing to be quick about", "cc", 1.0 / 8},
		{"so each success is as many as it was", "ccg", 9.0 / 8},
		{"and the third less than one", "ccgg", 9.0/8 + 8.0/9},
		{"a cut half way", "cgggc", 1.0 / 8},
		{"is quick up to half of that", "cgggcggg", 2.125 + 1/2.125},
	} {
		l := newConcurrencyLimit(8)
		for _, s := range c.steps {
			switch s {
			case 'g':
				l.grow(1)
			case 's':
				l.grow(leastShare)
			case 'c':
				l.cut()
			}
		}
		if l.limit != c.want {
			t.Errorf("%s: after %q the limit is %v, want %v", c.what, c.steps, l.limit, c.want)
		}
	}
}

func TestTheConcurrencyLimitAlwaysAllowsOneBatch(t *testing.T) {
	l := newConcurrencyLimit(1)
	for range 5 {
		l.cut()
	}
	if !l.allows(0) || l.allows(leastShare) {
		t.Errorf("room for the first: %v, for the second: %v", l.allows(0), l.allows(leastShare))
	}
}

func TestASmallBatchCountsAsAnEighthOfAFullOne(t *testing.T) {
	const eighth = event.MaxBatchBytes / 8
	for _, c := range []struct {
		size int
		want float64
	}{
		{0, 1.0 / 8}, {1000, 1.0 / 8}, {eighth, 1.0 / 8}, {eighth + 8, 2.0 / 8}, {event.MaxBatchBytes / 2, 4.0 / 8},
		{fullEnough, 1}, {event.MaxBatchBytes, 1}, {2 * event.MaxBatchBytes, 1},
	} {
		if got := shareOf(c.size); got != c.want {
			t.Errorf("a batch of %d bytes counts %v, want %v", c.size, got, c.want)
		}
	}
}
