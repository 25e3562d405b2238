package price

import (
	"math"
	"testing"
	"time"
)

// aMillion is a million events of 1 KB in a month.
func aMillion(l Load) Load {
	l.EventsPerDay, l.EventBytes = 1e6/30, 1000
	return l
}

// small is the function for which the rows below were computed by hand.
var small = Function{MemoryMB: 256, LogBytes: 600}

func TestAMillionEventsCostWhatAManualCalculationSays(t *testing.T) {
	for _, c := range []struct {
		name     string
		pipeline Pipeline
		load     Load
		want     map[string]float64
		total    float64
		within   float64
	}{
		{
			"one event a message, one function call",
			Pipeline{Deliver: small, BatchSize: 1}, aMillion(Load{EventsPerMessage: 1, Plain: true}),
			map[string]float64{"SQS requests": 1.2, "Lambda invocations": 0.2, "Lambda compute": 0.3333, "logs": 0.3}, 2.03,
			0.005,
		},
		{
			"SendMessageBatch of 10, batches of 10",
			Pipeline{Deliver: small, BatchSize: 10, BatchingWindow: Month},
			aMillion(Load{EventsPerMessage: 1, MessagesPerSend: 10, Plain: true}),
			map[string]float64{"SQS requests": 0.12, "Lambda invocations": 0.02, "Lambda compute": 0.0333, "logs": 0.03}, 0.203,
			0.0005,
		},
		{
			"64 packed events a message, batches of 10",
			Pipeline{Deliver: small, BatchSize: 10, BatchingWindow: Month}, aMillion(Load{EventsPerMessage: 64, Plain: true}),
			map[string]float64{"SQS requests": 0.0088, "Lambda invocations": 0.0003, "Lambda compute": 0.0010, "logs": 0.0005},
			0.011, 0.0005,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			bill := c.pipeline.events(c.load).Bill()
			total := 0.0
			for _, l := range bill {
				want, counts := c.want[l.Name]
				if counts && math.Abs(l.Dollars()-want) > 0.00005 {
					t.Errorf("%s: $%.5f, want $%.4f", l.Name, l.Dollars(), want)
				}
				if counts {
					total += l.Dollars()
				}
			}
			if math.Abs(total-c.total) > c.within {
				t.Errorf("all of it: $%.4f, want $%.3f", total, c.total)
			}
		})
	}
}

func TestEgressIsAFifthWhenCompressed(t *testing.T) {
	for plain, want := range map[bool]float64{true: 0.09, false: 0.09 * Gzip().Left} {
		u := Pipeline{Deliver: small, BatchSize: 1}.events(aMillion(Load{Plain: plain}))
		if got := egress.dollars(u.EgressBytes); math.Abs(got-want) > 1e-9 {
			t.Errorf("plain %v: $%.4f, want $%.3f", plain, got, want)
		}
	}
}

func TestIdlePollingOfFivePollersCostsAQuarterDollar(t *testing.T) {
	if got := sqsRequests.dollars(Pipeline{}.Month(Load{}).IdlePolls); math.Abs(got-0.2592) > 1e-9 {
		t.Errorf("$%.4f", got)
	}
	if got := sqsRequests.dollars(Pipeline{EventSources: 2}.Month(Load{}).IdlePolls); math.Abs(got-2*0.2592) > 1e-9 {
		t.Errorf("of two queues: $%.4f", got)
	}
}

func TestAnIngestEndpointCostsByTheRequest(t *testing.T) {
	ingest := Function{MemoryMB: 256, LogBytes: 600}
	for _, c := range []struct {
		endpoint   IngestEndpoint
		perRequest float64
		want       float64
	}{
		// $0.20 for invocations, $0.30 for logs, and 15 ms of 256 MB for $0.05.
		{FunctionURL, 1, 0.55}, {FunctionURL, 20, 0.0275}, {HTTPAPI, 1, 1.55}, {NoIngestEndpoint, 1, 0},
	} {
		u := Pipeline{Endpoint: c.endpoint, Ingest: ingest}.ingest(Load{EventsPerRequest: c.perRequest}, 1e6)
		if got := u.Bill().Total(); math.Abs(got-c.want) > 0.001 {
			t.Errorf("endpoint %d, %v events a request: $%.4f, want $%.4f", c.endpoint, c.perRequest, got, c.want)
		}
	}
}

func TestMessagesShareAnInvocationWithinItsLimits(t *testing.T) {
	p := Pipeline{BatchSize: 100, BatchingWindow: time.Second}
	for _, c := range []struct {
		perSecond, body, want float64
	}{
		{0, 1000, 1},
		{5, 1000, 2},
		{50, 1000, 11},
		{1e6, 1000, 100},
		{1e6, 118e3, 50}, // 6 MB
		{1e6, 7e6, 1},
	} {
		if got := p.messagesPerInvocation(c.perSecond, c.body); got != c.want {
			t.Errorf("%v messages/s of %v bytes: %v, want %v", c.perSecond, c.body, got, c.want)
		}
	}
}

func TestRegionsShareTheLoadButNotTheFixedCosts(t *testing.T) {
	p := Pipeline{Deliver: small, BatchSize: 1, Metrics: 10, AlarmMetrics: 20, Dashboards: 1, CanaryEvery: time.Minute}
	one := p.Month(aMillion(Load{}))
	p.Regions = 3
	three := p.Month(aMillion(Load{}))
	if three.Metrics != 30 || three.AlarmMetrics != 60 || three.Dashboards != 3 ||
		three.ScheduledEvents != 3*one.ScheduledEvents {
		t.Errorf("%+v", three)
	}
	// A million events, and 43,200 of a canary in each region.
	for n, u := range map[float64]Usage{1: one, 3: three} {
		if want := 1e6 + n*2*43_200; math.Abs(u.Invocations-want) > 1e-3 {
			t.Errorf("in %v regions %v invocations, want %v", n, u.Invocations, want)
		}
	}
}

func TestACanaryCostsNoEgressToSegment(t *testing.T) {
	u := Pipeline{Endpoint: HTTPAPI, Deliver: small, BatchSize: 1, CanaryEvery: time.Minute}.Month(Load{})
	if u.EgressBytes != 0 || u.HTTPRequests != 43_200 || u.Invocations != 3*43_200 {
		t.Errorf("%+v", u)
	}
}

func TestComparingTheTrafficScansEachByteOfTheLogsOnce(t *testing.T) {
	p := Pipeline{Deliver: small, Canary: Function{MemoryMB: 128}, BatchSize: 1, SenderLineBytes: 1000}
	without := p.Month(aMillion(Load{}))
	p.CompareEvery = 5 * time.Minute
	u := p.Month(aMillion(Load{}))
	// Every five minutes two metrics, and 5 s of an eighth of a GB.
	if u.ScannedBytes != without.LogBytes || u.LogBytes != without.LogBytes || u.MetricReads != 2*8640 ||
		math.Abs(u.GBSeconds-without.GBSeconds-8640*5*0.125) > 1e-6 {
		t.Errorf("%+v, without %+v", u, without)
	}
	// 0.4 events/s occupy one environment: a line a minute, beside 600 bytes an invocation.
	if want := 1e6*600 + 43_200*1000.0; math.Abs(without.LogBytes-want) > 1e-3 {
		t.Errorf("%.0f bytes of logs, want %.0f", without.LogBytes, want)
	}
	if idle := p.Month(Load{}); idle.LogBytes != 0 {
		t.Errorf("without an event %.0f bytes of logs", idle.LogBytes)
	}
}

func TestNoLoadHasANegativeOrInfiniteCost(t *testing.T) {
	for _, l := range []Load{{}, {EventsPerDay: 1}, {EventsPerDay: 1e12, EventBytes: 32 << 10, EventsPerMessage: 2500},
		{EventsPerDay: 1e6, EventBytes: 1, EventsPerRequest: 1e9, EventsPerMessage: 1e9}} {
		for _, p := range []Pipeline{{},
			{Endpoint: HTTPAPI, BatchSize: 100, BatchingWindow: time.Second, ConcurrentFlushes: 8, CanaryEvery: time.Minute,
				Regions: 2}} {
			for _, line := range p.Month(l).Bill() {
				if d := line.Dollars(); math.IsNaN(d) || math.IsInf(d, 0) || d < 0 {
					t.Errorf("%+v: %s costs %v", l, line.Name, d)
				}
			}
		}
	}
}

func TestABillsTotalIsTheSumOfItsLines(t *testing.T) {
	u := Usage{
		SQSRequests: 1e6, IdlePolls: 1e6, Invocations: 1e6, GBSeconds: 1e5, HTTPRequests: 1e6, ScheduledEvents: 1e6,
		LogBytes: 1e9, EgressBytes: 1e9,
		ScannedBytes: 1e9, MetricReads: 1e3,
		Metrics: 1, AlarmMetrics: 1, CompositeAlarms: 1, Dashboards: 1,
		APIRequests: 1e3, S3Puts: 1e3, S3Gets: 1e3, S3Bytes: 1e9, S3RareBytes: 1e9, S3OldBytes: 1e9, S3Watched: 1e3,
		FirehoseBytes: 1e9, Views: 1e4, ViewBytes: 1e9,
	}
	const want = 0.40 + 0.40 + 0.20 + 1.33334 + 1 + 1 + 0.50 + 0.09 + 0.005 + 0.01 + 0.30 + 0.10 + 0.50 + 3 +
		0.01 + 0.005 + 0.0004 + 0.023 + 0.0125 + 0.004 + 0.0025 + 0.029 + 0.012 + 0.085
	if got := u.Bill().Total(); math.Abs(got-want) > 1e-9 {
		t.Errorf("$%.5f, want $%.5f", got, want)
	}
	if got := u.Plus(u.Times(2)).Bill().Total(); math.Abs(got-3*want) > 1e-9 {
		t.Errorf("three times as much costs $%.5f, want $%.5f", got, 3*want)
	}
}

func TestGroupsCostAQuarterMoreOfTheRequestsThatCarryMessages(t *testing.T) {
	p := Pipeline{Deliver: small, BatchSize: 10, BatchingWindow: Month}
	dollars := func(p Pipeline) map[string]float64 {
		lines := map[string]float64{}
		for _, l := range p.Month(aMillion(Load{EventsPerMessage: 1})).Bill() {
			lines[l.Name] = l.Dollars()
		}
		return lines
	}
	if got := dollars(p)["SQS fair queues"]; got != 0 {
		t.Errorf("without groups: $%g", got)
	}
	p.FairQueues = true
	got := dollars(p)
	if want := got["SQS requests"] * 0.10 / 0.40; want == 0 || math.Abs(got["SQS fair queues"]-want) > 1e-9 {
		t.Errorf("$%g, want $%g: empty receives carry no message", got["SQS fair queues"], want)
	}
}
