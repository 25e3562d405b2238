package deliver

import (
	"cmp"
	"errors"
	"log/slog"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/env"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/price"
	"github.com/spillwayhq/spillway/shared/segment"
)

// The environment variables of the function.
const (
	envName               = "SPILLWAY_NAME"                       // the pipeline's; default: spillway
	envQueueURL           = "SPILLWAY_QUEUE_URL"                  // of the events queue
	envDeadLetterQueueURL = "SPILLWAY_DEAD_LETTER_QUEUE_URL"      //
	envArchiveStream      = "SPILLWAY_ARCHIVE_STREAM"             // default: nothing is archived
	envBulkQueueURL       = "SPILLWAY_BULK_QUEUE_URL"             // default: there is no bulk queue
	envWriteKey           = "SPILLWAY_WRITE_KEY"                  // see Options
	envWriteKeyParameter  = "SPILLWAY_WRITE_KEY_PARAMETER"        //
	envEndpoint           = "SPILLWAY_SEGMENT_ENDPOINT"           // default: Segment's in the US
	envEndpointParameter  = "SPILLWAY_SEGMENT_ENDPOINT_PARAMETER" //
	envGzip               = "SPILLWAY_SEGMENT_GZIP"               // true or false; default: true
	envCanaryWriteKey     = "SPILLWAY_CANARY_WRITE_KEY"           // default: no canary
	envEventBridge        = "SPILLWAY_EVENTBRIDGE"                // true or false; default: false
	envDrillParameter     = "SPILLWAY_DRILL_PARAMETER"            // see Options
	envPausedKeys         = "SPILLWAY_PAUSED_KEYS_PARAMETER"      // see Options
	envLogLevel           = "SPILLWAY_LOG_LEVEL"                  // debug, info, warn, error; default: info
	envVersion            = "AWS_LAMBDA_FUNCTION_VERSION"         // set by Lambda
)

// Options are what a deployment decides about the deliver function.
type Options struct {
	Name                         string // the pipeline's, a dimension of its metrics
	QueueURL, DeadLetterQueueURL string
	// ArchiveStream is the Firehose stream of the archive. Empty: nothing is archived, unless
	// Parts.Archive is set.
	ArchiveStream string
	// BulkQueueURL is that of the queue for what is not urgent. Empty: there is none.
	BulkQueueURL string

	// Messages that carry no write key are sent with WriteKey, or with the one in the SSM parameter
	// WriteKeyParameter. Without both they are retained for retry.
	WriteKey, WriteKeyParameter string
	// Where Segment is: the URL, or the SSM parameter that holds it. Without a value in the
	// parameter all messages are retained for retry.
	Endpoint, EndpointParameter string
	// Gzip compresses requests to Segment: to about a fifth of the bytes, which AWS charges for.
	// The function uses the cheapest level by package price; 0, the fastest, is for one machine,
	// where bytes cost nothing.
	Gzip      bool
	GzipLevel int
	// CanaryWriteKey is the write key of the canary's events. Empty: there is no canary.
	CanaryWriteKey string
	// EventBridge tells the account's default event bus what happens: see docs/eventbridge.md.
	EventBridge bool
	// DrillParameter is the SSM parameter with a time until which canaries are dropped before they
	// are sent, to try the alarms. Empty, or without a canary: nothing is read. It need not exist.
	DrillParameter string
	// PausedKeysParameter is the SSM parameter with the write keys that a person has paused: an
	// operator.Keys. Empty: nothing is read. It need not exist.
	PausedKeysParameter string
	LogLevel            slog.Level
	// Version is the function's, by which package rollout's metrics are counted too. Not a number:
	// they are not.
	Version string

	ignored env.Ignored
}

// LogValue shows the options without the write keys.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", o.Name), slog.String("queue", o.QueueURL),
		slog.String("dead_letter_queue", o.DeadLetterQueueURL), slog.String("bulk_queue", o.BulkQueueURL),
		slog.String("archive_stream", o.ArchiveStream),
		slog.String("endpoint", o.Endpoint), slog.String("endpoint_parameter", o.EndpointParameter),
		slog.Bool("gzip", o.Gzip), slog.Int("gzip_level", o.GzipLevel),
		slog.String("default_write_key", event.KeyID(o.WriteKey)),
		slog.String("default_write_key_parameter", o.WriteKeyParameter),
		slog.String("canary_write_key", event.KeyID(o.CanaryWriteKey)),
		slog.String("drill_parameter", o.DrillParameter), slog.String("paused_keys_parameter", o.PausedKeysParameter),
		slog.Bool("eventbridge", o.EventBridge))
}

// readOptions reads the options from environ, which has the form of os.Environ. The error names
// every wrong variable.
func readOptions(environ []string) (Options, error) {
	o := Options{Gzip: true, GzipLevel: price.Gzip().Level}
	var err error
	o.ignored, err = env.Read(environ,
		env.String(envName, &o.Name),
		env.QueueURL(envQueueURL, &o.QueueURL), env.QueueURL(envDeadLetterQueueURL, &o.DeadLetterQueueURL),
		env.OptionalQueueURL(envBulkQueueURL, &o.BulkQueueURL), env.String(envArchiveStream, &o.ArchiveStream),
		env.Secret(envWriteKey, &o.WriteKey, event.ValidWriteKey, event.WriteKeyRule),
		env.String(envWriteKeyParameter, &o.WriteKeyParameter),
		env.String(envEndpoint, &o.Endpoint), env.String(envEndpointParameter, &o.EndpointParameter),
		env.Bool(envGzip, &o.Gzip), env.Secret(envCanaryWriteKey, &o.CanaryWriteKey, event.ValidWriteKey, event.WriteKeyRule),
		env.Bool(envEventBridge, &o.EventBridge), env.String(envDrillParameter, &o.DrillParameter),
		env.String(envPausedKeys, &o.PausedKeysParameter),
		env.LogLevel(envLogLevel, &o.LogLevel), env.String(envVersion, &o.Version))
	o.Name = cmp.Or(o.Name, emf.DefaultPipeline)
	if o.EndpointParameter == "" {
		o.Endpoint = cmp.Or(o.Endpoint, segment.EndpointUS)
	}
	return o, errors.Join(err,
		env.Exclusive(envWriteKey, o.WriteKey, envWriteKeyParameter, o.WriteKeyParameter),
		env.Exclusive(envEndpoint, o.Endpoint, envEndpointParameter, o.EndpointParameter))
}
