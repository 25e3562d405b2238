package deployed

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/version"
)

// The variables of the functions that say what belongs to a pipeline.
const (
	VarVersion   = version.Variable
	VarIngestURL = "SPILLWAY_INGEST_URL" // of the canary
	// VarIngestDial is the canary's, where several regions share the host of VarIngestURL: that of
	// its own region.
	VarIngestDial        = "SPILLWAY_INGEST_DIAL"
	VarPublicURL         = "SPILLWAY_PUBLIC_URL" // of ingest
	VarEndpoint          = "SPILLWAY_SEGMENT_ENDPOINT"
	VarEndpointParameter = "SPILLWAY_SEGMENT_ENDPOINT_PARAMETER"
	VarKeyParameter      = "SPILLWAY_WRITE_KEY_PARAMETER"
	VarKeysParameters    = "SPILLWAY_WRITE_KEYS_PARAMETER" // separated by commas
	VarKeysObject        = "SPILLWAY_WRITE_KEYS_OBJECT"    // s3://BUCKET/KEY
	VarArchiveStream     = "SPILLWAY_ARCHIVE_STREAM"       // of deliver, if there is an archive
	VarStatusBuckets     = "SPILLWAY_STATUS_BUCKETS"       // of status: REGION=BUCKET, separated by commas
)

// KeysDocuments are the names of the documents with the write keys that ingest accepts, by its
// variables: those of SSM parameters, and the address of an object of S3.
func KeysDocuments(environment map[string]string) []string {
	names := strings.FieldsFunc(environment[VarKeysParameters], func(r rune) bool { return r == ',' })
	if object := environment[VarKeysObject]; object != "" {
		names = append(names, object)
	}
	return names
}

// IsObject reports whether a document is in S3.
func IsObject(name string) bool { return strings.HasPrefix(name, "s3://") }

// ReadObject reads an object of S3 by its address, like s3://BUCKET/KEY. It needs the permission
// s3:GetObject.
func ReadObject(ctx context.Context, c aws.Config, uri string) ([]byte, error) {
	bucket, key, err := s3.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	content, err := s3.Source(s3.Open(c, bucket), key).Read(ctx)
	return content.Data, err
}

// KeepArchive sets the options that follow from the variables of the deliver function. They do not
// say for how long the archive keeps an event.
func KeepArchive(o *topology.Options, environment map[string]string) {
	if environment[VarArchiveStream] != "" {
		o.ArchiveKept = topology.DefaultArchiveKept
	}
}

// SourcesOf are those of the event sources that feed a queue. There are two for a moment while a
// deployment changes one.
func SourcesOf(all []signed.EventSource, queue string) (of []signed.EventSource) {
	for _, s := range all {
		if strings.HasSuffix(s.EventSourceArn, ":"+queue) {
			of = append(of, s)
		}
	}
	return of
}

// Feed sets the options that follow from the events queue's event source, of all that the deliver
// function has.
func Feed(o *topology.Options, all []signed.EventSource) {
	sources := SourcesOf(all, o.Names.EventsQueue)
	if len(sources) == 0 {
		return
	}
	s := sources[0]
	o.BatchSize, o.MaximumConcurrency = s.BatchSize, s.ScalingConfig.MaximumConcurrency
	o.BatchingWindow = time.Duration(s.MaximumBatchingWindowInSeconds) * time.Second
}
