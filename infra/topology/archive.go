package topology

import (
	"fmt"
	"strings"
	"time"
)

// An Archive is where events are kept after they have ended: a Firehose stream, and the bucket into
// which it puts what it takes together.
type Archive struct {
	Stream string
	Kept   time.Duration // whole days, after which S3 deletes an object
	// The stream writes an object when it has so much or after so long, whichever comes first.
	BufferBytes  int64 // whole MB
	BufferTime   time.Duration
	LogRetention time.Duration // of the log of what can't be written to the bucket
}

// TableRange are the hours that the archive's table has, as Athena's partition projection reads
// them: S3 deletes objects up to two days late.
func (a Archive) TableRange() string { return fmt.Sprintf("NOW-%dDAYS,NOW", a.Kept/day+2) }

// ArchiveErrors begins the names of objects with what Firehose itself could not process, where
// readers do not look.
const ArchiveErrors = "failed/"

// ArchiveTable is the name of the archive's table, for Athena.
const ArchiveTable = "archive"

// ArchiveDatabase is the name of the database with the archive's table. Names in SQL have no
// hyphens.
func ArchiveDatabase(n Names) string { return strings.ReplaceAll(n.Pipeline, "-", "_") }

// ArchiveDelay is how long an event may be in Firehose before it is in the bucket.
//
// The longest that Firehose offers: fewer, larger objects are cheaper to write and faster to read.
const ArchiveDelay = maxBufferTime

// DefaultArchiveKept is how long the archive keeps an event: long enough to find a mistake at the
// end of a quarter, and no longer, because it is personal data.
const DefaultArchiveKept = 90 * day

// Limits of Firehose's buffer (API reference, BufferingHints), and ours of keeping.
const (
	maxBufferBytes = 128 << 20
	maxBufferTime  = 15 * time.Minute

	// MaxArchiveDays is the longest time for which the archive may keep an event: ten years.
	MaxArchiveDays = 3650
)

func archive(o Options) Archive {
	if o.ArchiveKept == 0 {
		return Archive{}
	}
	return Archive{
		// With 64 MB a reader, and a rewrite, can hold an object in memory. Firehose exceeds it a
		// little.
		Stream: o.Names.ArchiveStream, Kept: o.ArchiveKept, BufferBytes: 64 << 20, BufferTime: ArchiveDelay,
		LogRetention: o.LogRetention,
	}
}

func (a *Archive) validate(p *problems) {
	if *a == (Archive{}) {
		return
	}
	p.check(a.Kept >= day && a.Kept <= MaxArchiveDays*day && a.Kept%day == 0,
		"archive: events must be kept for 1 to %d whole days, are for %v", MaxArchiveDays, a.Kept)
	p.check(a.BufferBytes >= 1<<20 && a.BufferBytes <= maxBufferBytes && a.BufferBytes%(1<<20) == 0,
		"archive: the buffer must be 1 to %d whole MB, is %d bytes", maxBufferBytes>>20, a.BufferBytes)
	p.check(a.BufferTime >= time.Second && a.BufferTime <= maxBufferTime && a.BufferTime%time.Second == 0,
		"archive: the buffer must wait for whole seconds, at most %v, waits for %v", maxBufferTime, a.BufferTime)
	p.checkRetention("archive", a.LogRetention)
}

// archiveAlarms are there only with an archive. None of them says that an event was not delivered.
func archiveAlarms(o Options) []Alarm {
	n := o.Names
	if o.ArchiveKept == 0 {
		return nil
	}
	return []Alarm{
		{
			Name: n.Alarm("archive-failing"), Severity: Warning, Section: "archive-failing",
			Metrics: []Metric{n.own("d", "deliver", "ArchiveDeferred", "Sum"),
				n.own("n", "deliver", "EventsNotArchived", "Sum"), n.own("i", "ingest", "EventsNotArchived", "Sum")},
			// A call that Firehose throttled once is deferred once, and archived a moment later.
			// What fails again is tried each quarter of an hour, so two attempts are in half an
			// hour.
			Expression: "FILL(d, 0) + FILL(n, 0) + FILL(i, 0)", Unit: "events",
			Threshold: 0, Period: time.Minute, Periods: 2*(retryLookback-maxLag) + maxLag, Breaching: 2, Missing: MissingIsGood,
			Meaning: "Firehose does not take the records of delivered events and dead letters, which wait in the bulk queue " +
				"for up to 10 days; or the bulk queue does not take those of ingest's dead letters.",
			First: "read the error in the log of the function, deliver or ingest: the usual cause is its permission, a " +
				"stream that was deleted, or its quota.",
		},
		{
			Name: n.Alarm("archive-undelivered"), Severity: Warning, Section: "archive-undelivered",
			Metrics: []Metric{n.ofArchive("s", "DeliveryToS3.Success", "Average")},
			// Firehose writes this metric only when it writes an object.
			Threshold: 1, Below: true, Unit: "of S3's answers", Period: 5 * time.Minute, Periods: 12, Breaching: 3,
			Missing: MissingIsGood,
			Meaning: "Firehose can't write some of the archive's objects to S3. It tries again for 24 hours.",
			First: "read the stream's log group: the usual cause is the stream's role, the bucket's policy, or the KMS " +
				"key.",
		},
		{
			Name: n.Alarm("archive-late"), Severity: Critical, Section: "archive-late",
			Metrics:   []Metric{n.ofArchive("f", "DeliveryToS3.DataFreshness", "Maximum")},
			Threshold: time.Hour.Seconds(), Unit: "seconds", Period: time.Minute, Periods: 5 + maxLag, Breaching: 5,
			Missing: MissingIsGood,
			Meaning: "the oldest record in Firehose has waited for over an hour to be written to S3. After 24 hours Firehose " +
				"drops it, and the archive lacks its events. They were delivered.",
			First: "read the stream's log group: the usual cause is the stream's role, the bucket's policy, or the KMS " +
				"key.",
		},
	}
}

// ofArchive is a metric that Firehose writes about the archive's stream.
func (n Names) ofArchive(id, name, statistic string) Metric {
	return Metric{ID: id, Stream: n.ArchiveStream, Name: name, Statistic: statistic}
}

// archiveWidgets are a row of the dashboard.
func (n Names) archiveWidgets() []Widget {
	return []Widget{
		{Title: "Is every event archived? Events a minute", Alarm: n.Alarm("archive-failing"), Lines: []Line{
			graph("archived", n.own("a", "deliver", "EventsArchived", "Sum")),
			graph("later, by the bulk queue", n.own("d", "deliver", "ArchiveDeferred", "Sum")),
			graph("not yet, tried again", n.own("n", "deliver", "EventsNotArchived", "Sum")),
			graph("not, of ingest's dead letters", n.own("i", "ingest", "EventsNotArchived", "Sum")),
		}},
		{Title: "How late is the archive's bucket? Seconds", Alarm: n.Alarm("archive-late"), Lines: []Line{
			graph("the oldest record in Firehose", n.ofArchive("f", "DeliveryToS3.DataFreshness", "Maximum")),
		}},
		{Title: "How large is the archive? Bytes a minute into S3", Lines: []Line{
			graph("bytes", n.ofArchive("b", "DeliveryToS3.Bytes", "Sum")),
		}},
	}
}
