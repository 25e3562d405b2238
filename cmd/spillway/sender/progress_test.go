package sender

import "testing"

func TestNextIsTheFirstLineThatWasNotSent(t *testing.T) {
	var p progress
	check := func(want int, when string) {
		t.Helper()
		if got := p.next(); got != want {
			t.Errorf("%s: line %d, want %d", when, got, want)
		}
	}
	check(1, "before the first line")
	p.read(7)
	check(8, "after all lines so far were sent")
	p.packExported(5)
	p.packExported(6)
	check(5, "while exported lines wait")
	p.sentExported()
	check(8, "after the exported lines were sent")
	p.fail(6)
	p.fail(3)
	p.fail(4)
	check(3, "after failures")
	p.packExported(2)
	check(2, "while an earlier exported line waits")
}
