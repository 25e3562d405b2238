package spill_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/spill/spilltest"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestALogWithSyncLosesNothingToAPowerCutAndOneWithoutLosesIt(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{true, false} {
		d := spilltest.New()
		options := func() spill.Options {
			return spill.Options{Dir: "/var/lib/log", MaxBytes: 1 << 20, SegmentBytes: 200, Sync: sync, FS: d}
		}
		for n := range 40 { // several segments, and power cuts between any two records
			l, err := spill.Open(options())
			must(t, err)
			must(t, l.Append(fmt.Appendf(nil, "first %d", n)), l.Append(fmt.Appendf(nil, "second %d", n)))
			d = d.PowerCut()
			must(t, l.Close())
		}
		l, err := spill.Open(options())
		must(t, err)
		var got []string
		for records := make([]spill.Record, 100); l.Stats().Unread > 0; {
			n, err := l.Read(t.Context(), records)
			must(t, err)
			for _, r := range records[:n] {
				got = append(got, string(r.Data))
			}
		}
		want := 80
		if !sync {
			want = 0
		}
		if len(got) != want || l.Stats().Corrupt > 0 {
			t.Errorf("sync %v: %d records survived, want %d: %q, %+v", sync, len(got), want, got, l.Stats())
		}
		must(t, l.Close())
	}
}
