package topology

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// IngestURLParameter is the name of the SSM parameter, for Names.Parameter, with the ingest
// endpoint's URL. Each region of the pipeline has one: the status function reads there whom to ask
// for /health, because API Gateway makes up the host. With a domain the URL is that of all regions,
// and is followed by # and the host of this one.
const IngestURLParameter = "ingest-url"

// StatusRegionsParameter is the name of the SSM parameter, for Names.Parameter, with the status
// regions separated by commas. Each region of the pipeline has one, so that `spillway doctor` finds
// the site.
const StatusRegionsParameter = "status-regions"

// StatusFile is the name of the file with the site's title, logo and components, beside the
// function's binary. It is there only if the setting statusSite names one.
const StatusFile = "status-site.json"

// A StatusSite is what one status region has. It is no part of the pipeline's topology, because it
// is in another region and must stand when the pipeline's does not.
type StatusSite struct {
	Topology // with the function, its schedule and its alarm, and nothing else

	// KeptVersions is how long the bucket keeps what was overwritten: whole days.
	KeptVersions time.Duration
}

// NewStatusSite is the status site of a pipeline with these options, of which it uses the names,
// the log retention and the runbook.
func NewStatusSite(o Options) StatusSite {
	n := o.Names
	site := StatusSite{
		Topology: Topology{
			Names: n, Functions: []Function{statusFunction(o)},
			Schedules: []Schedule{{Function: n.StatusFunction, Every: time.Minute}}, Alarms: statusAlarms(n),
		},
		// Long enough to see on Monday what went wrong on Friday. Two pages of 30 KB are
		// overwritten every minute, which makes 0.6 GB in a week, one cent a month.
		KeptVersions: 7 * day,
	}
	site.setRunbook(o)
	return site
}

func statusFunction(o Options) Function {
	return Function{
		// It ends before the next one begins: two at the same time would only refuse each other's
		// writes. A region that does not answer takes up to 10 s, all of them at the same time.
		// With 256 MB a page is rendered, and seven connections with TLS are made, in about a
		// second.
		Name: o.Names.StatusFunction, Metrics: "status", Timeout: 45 * time.Second, MemoryMB: 256,
		LogRetention: o.LogRetention,
	}
}

// statusAlarms are in the status region too: the pipeline's may be what is away.
func statusAlarms(n Names) []Alarm {
	return []Alarm{{
		Name: n.Alarm("status-stale"), Severity: Warning, Section: "status-stale",
		// Each invocation writes once if the site was written: 1, or 0 if a bucket was left out.
		// Where nothing was written, because it crashed or did not run, the other side of the sum
		// makes a 0 of it, but not of the minutes before the first deployment: REPEAT goes forward
		// only. So what is late is bad too: as many minutes as may be late, and three, of which the
		// page need not say anything.
		Metrics: []Metric{ofFunction("i", n.StatusFunction, "Invocations", "Sum"),
			n.own("w", "status", "StatusWritten", "Sum")},
		Expression: "0 * FILL(i, REPEAT) + w",
		Threshold:  1, Below: true, Unit: "writes", Period: time.Minute, Periods: 3 + maxLag, Breaching: 3 + maxLag,
		Missing: MissingIsSilent,
		Meaning: "for 6 minutes the status site has not been written, or not to all of its buckets: customers are " +
			"told that it is out of date.",
		First: "read the status function's log in this region.",
	}}
}

// StatusStack is the name of the CloudFormation stack of a status region. The region is not at the
// end, so that no other pipeline's stack has this name.
func (n Names) StatusStack(region string) string { return n.Stack(region) + "-status" }

// StatusBucket is the name of the bucket of a status region: names of buckets are unique in the
// world, so it has the account's number too.
func (n Names) StatusBucket(account, region string) string {
	return n.StatusFunction + "-" + account + "-" + region
}

// Names of the outputs of a status region's stack, beside the version, the settings and the topic.
const (
	OutputStatusURL    = "StatusUrl" // of the page; only the first status region's stack has it
	OutputStatusBucket = "StatusBucket"
	OutputStatusHost   = "StatusHost" // what a CNAME record of the setting statusDomain must point at
)

// reservedBucket matches the beginnings of names that S3 refuses (S3 user guide, "Bucket naming
// rules").
var reservedBucket = regexp.MustCompile(`^(xn--|sthree-|amzn-s3-demo-)`)

// Validate checks the site against AWS's limits, and that its function is over before the next one
// begins. The error names every breach.
func (s *StatusSite) Validate() error {
	var p problems
	s.validateParts(&p)
	for _, f := range s.Functions {
		p.check(f.Timeout < time.Minute, "function %s: timeout must be below 1m, because it runs every minute, is %v", f.Name,
			f.Timeout)
	}
	p.check(s.KeptVersions >= day && s.KeptVersions%day == 0,
		"status site: versions must be kept for whole days, are for %v", s.KeptVersions)
	if reservedBucket.MatchString(s.Names.Pipeline) {
		p = append(p, fmt.Errorf("status site: S3 refuses buckets whose name begins with xn--, sthree- or amzn-s3-demo-, as "+
			"those of a pipeline %q would", s.Names.Pipeline))
	}
	return errors.Join(p...)
}
