package price

import "time"

// What the status function does for each status region, every time that it runs. A test of package
// estimate counts the objects while all is well.
const (
	// StatusPuts are the document and the page. What shows no age is written after a change, and
	// once an hour.
	StatusPuts = 2
	// StatusHourlyPuts are all other files of the site.
	StatusHourlyPuts = 12
	// StatusGets is the document; with a second region also the other document, once to merge it
	// and once to see if it is old.
	StatusGets      = 1
	StatusOtherGets = 2
	// StatusPageBytes is the size of the page as CloudFront sends it, compressed and with headers.
	StatusPageBytes = 8_000
	// statusCalls are those to CloudWatch for each of the pipeline's regions: alarms, canaries, and
	// the age of the oldest event, which is only asked for while something waits.
	statusCalls = 3
	// statusTime is how long it takes, and healthTime a request to /health.
	statusTime = time.Second
	healthTime = 15 * time.Millisecond
	// statusVersions are the bytes of all earlier versions of the files that a bucket keeps, in GB.
	statusVersions = 0.6
)

// A StatusSite describes the status site, and who looks at it.
type StatusSite struct {
	Regions      int // status regions; 0: there is no site
	Function     Function
	Every        time.Duration
	AlarmMetrics int     // of a status region
	Metrics      int     // of a status region
	Views        float64 // of the page a month, each with what the page loads again while it is open
}

// StatusMonth returns what a status site uses in a [Month], while it watches this pipeline.
func (p Pipeline) StatusMonth(s StatusSite) Usage {
	if s.Regions == 0 {
		return Usage{}
	}
	own := float64(s.Regions)
	runs := own * float64(Month/s.Every)
	looks := runs * max(1, float64(p.Regions))
	u := Usage{
		Invocations: runs, GBSeconds: runs * gbSeconds(s.Function.MemoryMB, statusTime), ScheduledEvents: runs,
		LogBytes: runs * s.Function.LogBytes, APIRequests: looks * statusCalls, SQSRequests: looks,
		S3Puts:  runs*StatusPuts + own*Month.Hours()*StatusHourlyPuts,
		S3Gets:  runs*(StatusGets+StatusOtherGets*(own-1)) + s.Views,
		S3Bytes: own * statusVersions * 1e9, Metrics: own * float64(s.Metrics), AlarmMetrics: own * float64(s.AlarmMetrics),
		Views: s.Views, ViewBytes: s.Views * StatusPageBytes,
	}
	if p.Endpoint != NoIngestEndpoint { // it asks for /health
		u.Invocations += looks
		u.GBSeconds += looks * gbSeconds(p.Ingest.MemoryMB, healthTime)
	}
	if p.Endpoint == HTTPAPI {
		u.HTTPRequests += looks
	}
	return u
}
