package drill

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
)

// A recorder writes the metrics of the drill, as AWS would have them, into the store that is
// judged. It is safe for concurrent use.
type recorder struct {
	store  *cloudwatch.Store
	weight float64 // how many events each simulated one stands for
	paused func() bool

	mu   sync.Mutex
	rest []byte // of the last line, which has not ended
	logs func(line []byte)
}

func newRecorder(lasts time.Duration, weight float64, paused func() bool) *recorder {
	store := cloudwatch.NewStore(lasts + 24*time.Hour)
	store.Now = time.Now // what is written late is judged as late
	return &recorder{store: store, weight: weight, paused: paused, logs: func([]byte) {}}
}

// put stores values of AWS's own metrics.
func (r *recorder) put(at time.Time, k cloudwatch.Key, values ...float64) {
	if r.paused() {
		return
	}
	if r.weight > 1 && isCount(k.Name) {
		for i := range values {
			values[i] *= r.weight
		}
	}
	r.store.Put(at, k, values...)
}

// Write takes the functions' log, with their metrics as lines of JSON.
func (r *recorder) Write(text []byte) (int, error) {
	if r.paused() {
		return len(text), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := text
	if len(r.rest) > 0 {
		rest = append(r.rest, text...)
	}
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			r.rest = append(r.rest[:0], rest...)
			return len(text), nil
		}
		r.logs(line)
		if bytes.Contains(line, []byte(`"_aws"`)) {
			if r.weight > 1 {
				line = weigh(line, r.weight)
			}
			_ = r.store.PutEMF(line) // the store counts what it does not take, see simulation.checkEvents
		}
		rest = after
	}
}

// weigh multiplies the counts in a line of metrics.
func weigh(line []byte, weight float64) []byte {
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		return line
	}
	for name, value := range fields {
		if !isCount(name) {
			continue
		}
		switch v := value.(type) {
		case float64:
			fields[name] = v * weight
		case []any:
			for i := range v {
				if n, ok := v[i].(float64); ok {
					v[i] = n * weight
				}
			}
		}
	}
	weighed, err := json.Marshal(fields)
	if err != nil {
		return line
	}
	return weighed
}

// gauges are parts of the names of metrics that are no counts of events or requests. Messages are
// as many as are simulated: a publisher fills them for a time, not with a number of events.
var gauges = []string{"Age", "Latency", "Duration", "Concurrent", "Oldest", "Ratio", "Growth", "Breaker",
	"WriteKeysOld", "WriteKeysUnread", "Bytes", "Canary", "_aws", "Canaries", "NumberOfMessages", "Invocations", "Errors",
	"Throttles"}

// isCount reports whether a metric is twice as large when twice as many events come in.
func isCount(name string) bool {
	if name == "ServerErrors" || name == "ClientErrors" {
		return true
	}
	return !slices.ContainsFunc(gauges, func(part string) bool { return strings.Contains(name, part) })
}

// percentile is the p-th of sorted values; 0 without any.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(p/100*float64(len(sorted))))-1)]
}
