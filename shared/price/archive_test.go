package price

import (
	"math"
	"testing"
	"time"
)

// A record counts as a multiple of 5 KB, so few events an invocation are dear.
func TestFirehoseIsPaidInStepsOf5KB(t *testing.T) {
	for _, c := range []struct{ perInvocation, want float64 }{
		{1, 0.1485}, {2, 0.0742}, {8, 0.0186}, {19, 0.0078}, {20, 0.0148}, {1000, 0.0068}, {1e6, 0.0067},
	} {
		if got := FirehosePerMillion(c.perInvocation, 1000); math.Abs(got-c.want) > 0.0001 {
			t.Errorf("%v events an invocation: $%.4f a million, want $%.4f", c.perInvocation, got, c.want)
		}
	}
	for n := 8.0; n < 5000; n++ {
		if got := FirehosePerMillion(n, 1000); got > 0.03 {
			t.Errorf("%v events an invocation: $%.4f a million, must be at most $0.03", n, got)
		}
	}
}

func TestTheArchiveCostsWhatAManualCalculationSays(t *testing.T) {
	p := Pipeline{Deliver: Function{MemoryMB: 512}, BatchSize: 10, BatchingWindow: time.Hour, Regions: 2}
	a := Archive{Kept: 120 * 24 * time.Hour, BufferBytes: 64e6, BufferTime: 15 * time.Minute, AlarmMetrics: 4, Metrics: 1}
	// In each region half a million events a month in invocations of ten: 50,000 records of 5 KB. A
	// frame has 0.75 + 9 * 0.2 times 1,150 bytes.
	const frame = 2.55 * 1150
	got := p.ArchiveMonth(a, aMillion(Load{EventBytes: 1000}))
	want := Usage{
		FirehoseBytes: 2 * 50_000 * 5120, GBSeconds: 2 * 50_000 * 0.5 * 0.02, S3Puts: 2 * 96 * 30 * 3,
		S3Bytes: 2 * 50_000 * frame, S3RareBytes: 4 * 50_000 * frame, S3OldBytes: 2 * 50_000 * frame,
		S3Watched: 2 * 96 * 120, Metrics: 2, AlarmMetrics: 8,
	}
	for i, line := range want.Bill() {
		if has := got.Bill()[i]; math.Abs(has.Quantity-line.Quantity) > 1e-6*line.Quantity {
			t.Errorf("%s is %v, want %v", line.Name, has.Quantity, line.Quantity)
		}
	}
	if idle := p.ArchiveMonth(a, Load{}); idle.FirehoseBytes != 0 || idle.S3Bytes != 0 || idle.AlarmMetrics != 8 {
		t.Errorf("without an event %+v", idle)
	}
}
