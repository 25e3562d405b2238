// Package settings has what a deployment of the pipeline to AWS may choose: the names of the settings,
// their defaults, how they are read, checked and shown. It needs neither the CDK nor an account, so
// that the CDK app and those who deploy without the CDK have the same ones.
package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/status"
)

// What can stand in front of the ingest function. With none of them there is no ingest function
// either.
const (
	HTTPAPI     = "http-api"
	FunctionURL = "function-url"
)

// What adoptQueues may be, besides a list of regions. AWS says at each deployment which queues
// exist outside of the stack; where it can't be asked, the values differ.
const (
	AdoptAuto = "auto"  // those that exist; where AWS can't be asked, none
	AdoptAll  = "true"  // those that exist; where AWS can't be asked, all
	AdoptNone = "false" // none
)

// How a new version of deliver and ingest takes over.
const (
	RolloutCanary = "canary" // it is tried, gets a tenth of the invocations for some minutes, and then all
	RolloutAll    = "all"    // it gets all at once
)

// None switches off what otherwise has a default.
const None = "none"

// Settings are what a deployment may choose, by context values of the CDK (-c key=value) or in a
// JSON file (-c settings=FILE).
type Settings struct {
	Name                  string   // prefix of every physical name; several pipelines may share an account and region
	Regions               []string // in the publishers' order of preference
	ReservedConcurrency   int      // of deliver; 0: none is reserved
	MaximumConcurrency    int      // 0: as the topology says
	BatchSize             int
	BatchingWindowSeconds int
	LogRetentionDays      int
	LogLevel              string
	Architecture          string // of the functions: arm64 or x86_64
	Rollout               string // one of the constants

	IngestEndpoint    string
	RequestsPerSecond int
	PublicURL         string // that SDKs shall use; empty: that of the request
	// Send events that SDKs sent to one region to the queues of the others while its own take none.
	IngestFallbacks bool
	PathPrefix      string // of a proxy in front; empty: none
	FairQueues      string // whether ingest groups messages by write key: FairAuto, true or false

	// Domain is the host name that all regions' ingest endpoints share; empty: each has only API
	// Gateway's own. HostedZone is the name of the public zone of Route 53 that the domain is in, and
	// HostedZoneID its ID; without a zone, somebody else makes the records. Certificates are the ARNs
	// of existing ones, at most one for each region; the others are made, which needs the zone.
	Domain, HostedZone, HostedZoneID string
	Certificates                     []string
	DomainGiven, ZoneGiven           bool // be it none

	SegmentEndpoint   string
	EndpointParameter string // SSM parameter with the endpoint, used instead of SegmentEndpoint; empty: none
	// SSM parameter with the write key of messages that carry none; empty: such messages are
	// retained
	WriteKeyParameter string
	// SSM parameters with the set of accepted write keys, each with a part of it; empty: ingest
	// accepts any
	WriteKeysParameters []string
	// object of S3 with the set, or a part of it, like s3://keys-{region}/write-keys.json; empty: none
	WriteKeysObject string

	Canary bool
	// of a Segment source for the canary; empty: a key of no source, and canaries end before
	// Segment
	CanaryWriteKey string
	Emails         []string // that get the alarms
	// TicketEmails get the alarms of severity warning in place of Emails. nil: Emails get them too.
	TicketEmails    []string
	OKNotifications bool   // also when an alarm is over
	EventBridge     bool   // deliver tells the default event bus what happens
	Runbook         string // its URL, which alarms refer to; empty: the public repository's

	Archive      bool // events are kept in a bucket after they have ended
	ArchiveDays  int  // how long
	ArchiveTable bool // with a table for Athena

	KMSKeys               []string // ARNs, one for each region; empty: SQS's own keys
	PermissionsBoundary   string   // ARN of an IAM policy, for every role; empty: none
	Tags                  map[string]string
	TerminationProtection bool
	// Where the status site is, which is none of Regions; empty: there is none. CloudFront reads
	// the first, and falls back to the second.
	StatusRegions     []string
	StatusDomain      string // of the status site; empty: CloudFront's own
	StatusCertificate string // ARN, of StatusDomain
	StatusSite        string // file with the site's title, logo and links; empty: the default ones
	statusSite        status.Site
	// Which regions' stacks use queues that exist, instead of creating them: one of the constants,
	// or a list of regions.
	AdoptQueues string
}

// FairAuto leaves it to ingest, which knows whether several write keys are accepted.
const FairAuto = "auto"

// Default are those of a deployment that chooses nothing but its name, in that region.
func Default(names topology.Names, region string) Settings {
	o := topology.DefaultOptions()
	t := topology.Default()
	return Settings{
		Name: names.Pipeline, Regions: []string{region},
		ReservedConcurrency: o.ReservedConcurrency, BatchSize: o.BatchSize,
		BatchingWindowSeconds: int(o.BatchingWindow / time.Second),
		LogRetentionDays:      int(o.LogRetention / (24 * time.Hour)), LogLevel: "info", Architecture: "arm64",
		Rollout: RolloutCanary, FairQueues: FairAuto,
		IngestEndpoint: HTTPAPI, RequestsPerSecond: int(t.IngestEndpoint.RequestsPerSecond),
		SegmentEndpoint:   segment.EndpointUS,
		WriteKeyParameter: names.Parameter("write-key"), WriteKeysParameters: []string{names.Parameter("write-keys")},
		ArchiveDays:     int(topology.DefaultArchiveKept / (24 * time.Hour)),
		IngestFallbacks: true, Canary: true, OKNotifications: true, Runbook: topology.DefaultRunbook,
		TerminationProtection: !isForTrying(names.Pipeline), AdoptQueues: AdoptAuto,
	}
}

// isForTrying reports whether the name says that the pipeline may be deleted at any time: a part of
// it is dev, test or staging, perhaps with a number.
func isForTrying(name string) bool {
	for part := range strings.SplitSeq(name, "-") {
		if slices.Contains([]string{"dev", "test", "staging"}, strings.TrimRight(part, "0123456789")) {
			return true
		}
	}
	return false
}

// Options are what of them package topology knows.
func (s *Settings) Options() topology.Options {
	names, err := topology.NewNames(s.Name)
	if err != nil { // which validate reports
		names = topology.DefaultNames()
	}
	kept := time.Duration(0)
	if s.Archive {
		kept = time.Duration(s.ArchiveDays) * 24 * time.Hour
	}
	return topology.Options{
		Names: names, ArchiveKept: kept,
		ReservedConcurrency: s.ReservedConcurrency, MaximumConcurrency: s.MaximumConcurrency, BatchSize: s.BatchSize,
		BatchingWindow: time.Duration(s.BatchingWindowSeconds) * time.Second,
		LogRetention:   time.Duration(s.LogRetentionDays) * 24 * time.Hour, NoCanary: !s.Canary,
		NoIngest: s.IngestEndpoint == None, Rollout: s.Rollout == RolloutCanary, Runbook: s.Runbook,
	}
}

// Topology is the pipeline with these settings.
func (s *Settings) Topology() topology.Topology {
	t := topology.New(s.Options())
	if s.IngestEndpoint != None {
		t.IngestEndpoint.RequestsPerSecond = float64(s.RequestsPerSecond)
		t.IngestEndpoint.Burst = min(t.IngestEndpoint.Burst, s.RequestsPerSecond)
	}
	return t
}

// TicketRecipients get the alarms of severity warning: TicketEmails, or Emails.
func (s *Settings) TicketRecipients() []string {
	if s.TicketEmails == nil {
		return s.Emails
	}
	return s.TicketEmails
}

// AdoptRegions are the regions that AdoptQueues lists; it has none where it is one of the constants.
func (s *Settings) AdoptRegions() []string {
	if slices.Contains([]string{AdoptAuto, AdoptAll, AdoptNone}, s.AdoptQueues) {
		return nil
	}
	return split(s.AdoptQueues)
}

// KMSKey is the ARN of that region's key, empty if there is none.
func (s *Settings) KMSKey(region string) string {
	for _, key := range s.KMSKeys {
		if keyRegion(key) == region {
			return key
		}
	}
	return ""
}

// SDKURL is what SDKs are told to use: that of the settings, or the domain's; empty: the host of
// their request.
func (s *Settings) SDKURL() string {
	if s.PublicURL == "" && s.Domain != "" {
		return s.DomainURL()
	}
	return s.PublicURL
}

// inRegion is what stands for the region in WriteKeysObject, because a bucket is in one region.
const inRegion = "{region}"

// KeysObject is WriteKeysObject of a region.
func (s *Settings) KeysObject(region string) string {
	return strings.ReplaceAll(s.WriteKeysObject, inRegion, region)
}

// AllTags are all of the stack's: those of the settings, and two of our own.
func (s *Settings) AllTags() map[string]string {
	all := map[string]string{"application": "spillway", "pipeline": s.Name}
	maps.Copy(all, s.Tags)
	return all
}

// Shown are the effective settings as texts by name, with a fingerprint in place of the write key.
func (s *Settings) Shown() map[string]string {
	public := *s
	if public.CanaryWriteKey != "" {
		public.CanaryWriteKey = "(set, " + fingerprint(public.CanaryWriteKey) + ")"
	}
	texts := map[string]string{}
	for i := range allSettings {
		texts[allSettings[i].name] = allSettings[i].show(&public)
	}
	return texts
}

// Print writes the effective settings, a line each.
func (s *Settings) Print(w io.Writer) {
	texts := s.Shown()
	for i := range allSettings {
		fmt.Fprintf(w, "  %-24s %s\n", allSettings[i].name, texts[allSettings[i].name])
	}
}

// keptFingerprint matches the end of what a stack keeps in place of a value.
var keptFingerprint = regexp.MustCompile(`\((set, )?SHA-256 [0-9a-f]{8}\)$`)

// fingerprint tells values apart that are not shown.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "SHA-256 " + hex.EncodeToString(sum[:4])
}
