// Package price estimates what AWS charges for a pipeline.
//
// It has two halves. [Usage] is an amount of use in AWS's units, counted or estimated, and
// [Usage.Bill] computes its cost. [Pipeline.Month] estimates a month's usage of a healthy pipeline
// from a [Load] of events.
//
// The prices are list prices of us-east-1 in US dollars, of the first tier, without the free tier,
// discounts and taxes: an upper bound for most users, and enough to compare designs.
package price

// Checked is when the prices were last compared with their sources. The prices of HTTP API, egress,
// EventBridge, S3, Firehose and CloudFront were checked against pages that quote AWS, not against
// AWS's own.
const Checked = "November 2026"

// A Rate is the price of a quantity.
type Rate struct {
	Dollars float64 // for Per of the unit
	Per     float64
	Unit    string
	Source  string
}

// dollars returns what n of the unit cost.
func (r Rate) dollars(n float64) float64 { return n / r.Per * r.Dollars }

// The price list. A GB is 10^9 bytes here, where AWS sometimes means 2^30: 7 % on the safe side.
var (
	// added to the price of a request with a MessageGroupId, or that returns or deletes such
	// messages
	fairRequests    = Rate{0.10, 1e6, "requests", "https://aws.amazon.com/sqs/pricing/"}
	sqsRequests     = Rate{0.40, 1e6, "requests", "https://aws.amazon.com/sqs/pricing/"} // each 64 KiB of payload is one
	invocations     = Rate{0.20, 1e6, "invocations", "https://aws.amazon.com/lambda/pricing/"}
	compute         = Rate{0.0000133334, 1, "GB-s", "https://aws.amazon.com/lambda/pricing/"} // arm64
	httpRequests    = Rate{1.00, 1e6, "requests", "https://aws.amazon.com/api-gateway/pricing/"}
	scheduledEvents = Rate{1.00, 1e6, "events", "https://aws.amazon.com/eventbridge/pricing/"}
	// ingested; storing them costs a twentieth of that
	logs        = Rate{0.50, 1e9, "bytes", "https://aws.amazon.com/cloudwatch/pricing/"}
	scannedLogs = Rate{0.005, 1e9, "bytes", "https://aws.amazon.com/cloudwatch/pricing/"} // by Logs Insights
	metricReads = Rate{0.01, 1000, "metrics read", "https://aws.amazon.com/cloudwatch/pricing/"}
	// a name with one set of dimensions, a month
	metrics         = Rate{0.30, 1, "metrics", "https://aws.amazon.com/cloudwatch/pricing/"}
	alarmMetrics    = Rate{0.10, 1, "metrics in alarms", "https://aws.amazon.com/cloudwatch/pricing/"}
	compositeAlarms = Rate{0.50, 1, "composite alarms", "https://aws.amazon.com/cloudwatch/pricing/"}
	dashboards      = Rate{3.00, 1, "dashboards", "https://aws.amazon.com/cloudwatch/pricing/"}
	// of Route 53, a month; of an account's first 50 none is paid, and neither are queries of
	// records that lead to an API
	healthChecks = Rate{0.50, 1, "health checks", "https://aws.amazon.com/route53/pricing/"}
	// calls of CloudWatch other than GetMetricData; of the account's first million a month none is
	// paid
	apiRequests = Rate{0.01, 1000, "calls", "https://aws.amazon.com/cloudwatch/pricing/"}
	s3Puts      = Rate{0.005, 1000, "writes", "https://aws.amazon.com/s3/pricing/"}
	s3Gets      = Rate{0.0004, 1000, "reads", "https://aws.amazon.com/s3/pricing/"}
	s3Bytes     = Rate{0.023, 1e9, "bytes for a month", "https://aws.amazon.com/s3/pricing/"}
	// of Intelligent-Tiering: what nobody has read for 30 and for 90 days, and watching that
	s3RareBytes  = Rate{0.0125, 1e9, "bytes for a month", "https://aws.amazon.com/s3/pricing/"}
	s3OldBytes   = Rate{0.004, 1e9, "bytes for a month", "https://aws.amazon.com/s3/pricing/"}
	s3Watched    = Rate{0.0025, 1000, "objects for a month", "https://aws.amazon.com/s3/pricing/"}
	firehoseRate = Rate{0.029, 1e9, "bytes, each record rounded up to 5 KB", "https://aws.amazon.com/firehose/pricing/"}
	// of North America and Europe; of an account's first 10 million requests and TB a month none is
	// paid
	views     = Rate{0.0120, 10_000, "HTTPS requests", "https://aws.amazon.com/cloudfront/pricing/"}
	viewBytes = Rate{0.085, 1e9, "bytes", "https://aws.amazon.com/cloudfront/pricing/"}
	// to the internet, which is where Segment is
	egress = Rate{0.09, 1e9, "bytes", "https://aws.amazon.com/ec2/pricing/on-demand/"}
)

// Usage is the amount of use of each service. A zero field costs nothing.
type Usage struct {
	SQSRequests, IdlePolls float64 // both are requests; Lambda makes the idle ones while the queue is empty
	FairRequests           float64 // those of SQSRequests whose messages have a group
	Invocations, GBSeconds float64
	HTTPRequests           float64 // of an HTTP API; a function URL costs nothing of its own
	ScheduledEvents        float64
	LogBytes, EgressBytes  float64
	ScannedBytes           float64 // of logs, by Logs Insights
	MetricReads            float64 // metrics that GetMetricData returned
	Metrics, AlarmMetrics  float64 // for a month
	CompositeAlarms        float64
	Dashboards             float64
	HealthChecks           float64
	APIRequests            float64 // to CloudWatch
	S3Puts, S3Gets         float64
	S3Bytes                float64 // kept for a month
	// In the same, what nobody has read for 30 and for 90 days, and the objects that are watched
	// for it.
	S3RareBytes, S3OldBytes, S3Watched float64
	FirehoseBytes                      float64 // each record as paid
	Views, ViewBytes                   float64 // that CloudFront answers and sends
}

// Plus returns the sum of both.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		FairRequests: u.FairRequests + v.FairRequests,
		SQSRequests:  u.SQSRequests + v.SQSRequests, IdlePolls: u.IdlePolls + v.IdlePolls,
		Invocations: u.Invocations + v.Invocations, GBSeconds: u.GBSeconds + v.GBSeconds,
		HTTPRequests: u.HTTPRequests + v.HTTPRequests, ScheduledEvents: u.ScheduledEvents + v.ScheduledEvents,
		LogBytes: u.LogBytes + v.LogBytes, EgressBytes: u.EgressBytes + v.EgressBytes,
		ScannedBytes: u.ScannedBytes + v.ScannedBytes, MetricReads: u.MetricReads + v.MetricReads,
		Metrics: u.Metrics + v.Metrics, AlarmMetrics: u.AlarmMetrics + v.AlarmMetrics,
		CompositeAlarms: u.CompositeAlarms + v.CompositeAlarms, Dashboards: u.Dashboards + v.Dashboards,
		HealthChecks: u.HealthChecks + v.HealthChecks, APIRequests: u.APIRequests + v.APIRequests,
		S3Puts: u.S3Puts + v.S3Puts, S3Gets: u.S3Gets + v.S3Gets, S3Bytes: u.S3Bytes + v.S3Bytes,
		S3RareBytes: u.S3RareBytes + v.S3RareBytes, S3OldBytes: u.S3OldBytes + v.S3OldBytes,
		S3Watched: u.S3Watched + v.S3Watched, FirehoseBytes: u.FirehoseBytes + v.FirehoseBytes,
		Views: u.Views + v.Views, ViewBytes: u.ViewBytes + v.ViewBytes,
	}
}

// Times returns the usage n times.
func (u Usage) Times(n float64) Usage {
	return Usage{
		FairRequests: n * u.FairRequests,
		SQSRequests:  n * u.SQSRequests, IdlePolls: n * u.IdlePolls, Invocations: n * u.Invocations,
		GBSeconds:    n * u.GBSeconds,
		HTTPRequests: n * u.HTTPRequests, ScheduledEvents: n * u.ScheduledEvents, LogBytes: n * u.LogBytes,
		EgressBytes: n * u.EgressBytes, ScannedBytes: n * u.ScannedBytes, MetricReads: n * u.MetricReads,
		Metrics: n * u.Metrics, AlarmMetrics: n * u.AlarmMetrics, CompositeAlarms: n * u.CompositeAlarms,
		Dashboards: n * u.Dashboards, HealthChecks: n * u.HealthChecks, APIRequests: n * u.APIRequests, S3Puts: n * u.S3Puts,
		S3Gets:  n * u.S3Gets,
		S3Bytes: n * u.S3Bytes, S3RareBytes: n * u.S3RareBytes, S3OldBytes: n * u.S3OldBytes,
		S3Watched: n * u.S3Watched, FirehoseBytes: n * u.FirehoseBytes,
		Views: n * u.Views, ViewBytes: n * u.ViewBytes,
	}
}

// A Line is one line of a bill.
type Line struct {
	Name     string
	Quantity float64
	Rate     Rate
}

// Dollars returns what the line costs.
func (l Line) Dollars() float64 { return l.Rate.dollars(l.Quantity) }

// A Bill is the cost of a usage, by service.
type Bill []Line

// Total returns the bill's sum in dollars.
func (b Bill) Total() (dollars float64) {
	for _, l := range b {
		dollars += l.Dollars()
	}
	return dollars
}

// Bill returns what the usage costs, always with the same lines in the same order, so that two
// bills can be compared line by line.
func (u Usage) Bill() Bill {
	return Bill{
		{"SQS requests", u.SQSRequests, sqsRequests},
		{"SQS fair queues", u.FairRequests, fairRequests},
		{"SQS polling while idle", u.IdlePolls, sqsRequests},
		{"Lambda invocations", u.Invocations, invocations},
		{"Lambda compute", u.GBSeconds, compute},
		{"HTTP API", u.HTTPRequests, httpRequests},
		{"schedule", u.ScheduledEvents, scheduledEvents},
		{"logs", u.LogBytes, logs},
		{"comparing the traffic: metrics", u.MetricReads, metricReads},
		{"comparing the traffic: logs", u.ScannedBytes, scannedLogs},
		{"egress to Segment", u.EgressBytes, egress},
		{"metrics", u.Metrics, metrics},
		{"alarms", u.AlarmMetrics, alarmMetrics},
		{"composite alarms", u.CompositeAlarms, compositeAlarms},
		{"dashboard", u.Dashboards, dashboards},
		{"health checks", u.HealthChecks, healthChecks},
		{"CloudWatch calls", u.APIRequests, apiRequests},
		{"S3 writes", u.S3Puts, s3Puts},
		{"S3 reads", u.S3Gets, s3Gets},
		{"S3 storage", u.S3Bytes, s3Bytes},
		{"S3 storage, not read for 30 days", u.S3RareBytes, s3RareBytes},
		{"S3 storage, not read for 90 days", u.S3OldBytes, s3OldBytes},
		{"S3 watching objects", u.S3Watched, s3Watched},
		{"Firehose", u.FirehoseBytes, firehoseRate},
		{"CloudFront requests", u.Views, views},
		{"CloudFront traffic", u.ViewBytes, viewBytes},
	}
}
