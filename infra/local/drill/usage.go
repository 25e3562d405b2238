package drill

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/price"
)

// What an invocation takes besides what is simulated: time, and bytes of Lambda's own log lines.
const (
	invocationCPU = 2 * time.Millisecond
	lambdaLog     = 300
	sqsChunk      = 64 << 10 // of payload are one request
)

// usage counts what the drill uses, as AWS counts it. It is safe for concurrent use.
type usage struct {
	requests, idlePolls, invocations, duration, logs, http, egress, scheduled atomic.Int64
	memory                                                                    int // MB, of deliver

	mu               sync.Mutex
	running, highest int // invocations at once; the most since the last call of peak
}

// request counts a request to SQS.
func (u *usage) request(bytes int64) { u.requests.Add(max(1, (bytes+sqsChunk-1)/sqsChunk)) }

// begin counts an invocation of deliver until the function that it returns is called.
func (u *usage) begin() (done func()) {
	began := time.Now()
	u.mu.Lock()
	u.running++
	u.highest = max(u.highest, u.running)
	u.mu.Unlock()
	return func() {
		u.invocations.Add(1)
		u.logs.Add(lambdaLog)
		u.duration.Add(int64(time.Since(began) + invocationCPU))
		u.mu.Lock()
		u.running--
		u.mu.Unlock()
	}
}

// peak is the most invocations at once since the last call.
func (u *usage) peak() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	peak := u.highest
	u.highest = u.running
	return peak
}

// aws is the usage until now, without what is paid by the month.
func (u *usage) aws() price.Usage {
	return price.Usage{
		SQSRequests: float64(u.requests.Load()), IdlePolls: float64(u.idlePolls.Load()),
		Invocations: float64(u.invocations.Load()), LogBytes: float64(u.logs.Load()),
		GBSeconds:    float64(u.memory) / 1024 * time.Duration(u.duration.Load()).Seconds(),
		HTTPRequests: float64(u.http.Load()), EgressBytes: float64(u.egress.Load()),
		ScheduledEvents: float64(u.scheduled.Load()),
	}
}
