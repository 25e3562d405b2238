package deliver

import "testing"

func TestTheConcurrencyLimitGrowsWithSuccessAndBeginsAgainAtOne(t *testing.T) {
	for _, c := range []struct {
		what  string
		steps string // g: grow, c: cut
		want  float64
	}{
		{"it begins open", "", 8},
		{"and does not grow beyond its most", "ggg", 8},
		{"a cut begins at one", "c", 1},
		{"each success adds one up to half of what was", "cggg", 4},
		{"and then as many as the limit add one", "cgggg", 4.25},
		{"until it is open again", "cggggggggggggggggggggggggggggg", 8},
		{"a second cut in a row leaves nothing to be quick about", "cc", 1},
		{"so two successes are two", "ccg", 2},
		{"and the third less than one", "ccgg", 2.5},
		{"a cut half way", "cgggc", 1},
		{"is quick up to half of that", "cgggcgg", 2.5},
	} {
		l := newConcurrencyLimit(8)
		for _, s := range c.steps {
			if s == 'g' {
				l.grow()
			} else {
				l.cut()
			}
		}
		if l.limit != c.want {
			t.Errorf("%s: after %q the limit is %v, want %v", c.what, c.steps, l.limit, c.want)
		}
	}
}

func TestTheConcurrencyLimitAlwaysAllowsOne(t *testing.T) {
	l := newConcurrencyLimit(1)
	for range 5 {
		l.cut()
	}
	if !l.allows(0) || l.allows(1) {
		t.Errorf("room for the first: %v, for the second: %v", l.allows(0), l.allows(1))
	}
}
