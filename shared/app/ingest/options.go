package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/env"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/spill"
)

// The environment variables of the program.
const (
	envName               = "SPILLWAY_NAME"                  // the pipeline's; default: spillway
	envQueueURL           = "SPILLWAY_QUEUE_URL"             // of the events queue
	envDeadLetterQueueURL = "SPILLWAY_DEAD_LETTER_QUEUE_URL" //
	// The bulk queue of a pipeline whose deliver function has an archive. Default: see Options.
	envArchiveQueueURL = "SPILLWAY_ARCHIVE_QUEUE_URL"
	// Of further regions, in the order of preference, with commas between them; the two lists
	// belong together. Default: none.
	envFallbacks           = "SPILLWAY_FALLBACK_QUEUE_URLS"
	envFallbackDeadLetters = "SPILLWAY_FALLBACK_DEAD_LETTER_QUEUE_URLS"

	envKeysFile       = "SPILLWAY_WRITE_KEYS_FILE"      // see Options
	envKeysParameter  = "SPILLWAY_WRITE_KEYS_PARAMETER" //
	envKeysObject     = "SPILLWAY_WRITE_KEYS_OBJECT"    //
	envCanaryWriteKey = "SPILLWAY_CANARY_WRITE_KEY"     // default: no canary
	envFairQueues     = "SPILLWAY_FAIR_QUEUES"          // true, false; default: see FairQueues
	envPublicURL      = "SPILLWAY_PUBLIC_URL"           // default: the URL of the request
	envPathPrefix     = "SPILLWAY_PATH_PREFIX"          // before the paths, at a proxy in front; default: none
	envLogLevel       = "SPILLWAY_LOG_LEVEL"            // debug, info, warn, error; default: info

	// For a server only. In front of a Lambda function the gateway decides this.
	envListen  = "SPILLWAY_LISTEN"          // host:port; default: all addresses, and the port in PORT, or 8080
	envProxies = "SPILLWAY_TRUSTED_PROXIES" // default: 0
	envGrace   = "SPILLWAY_SHUTDOWN_GRACE"  // default: 25s
	// A directory for messages that no queue takes. Default: none; such requests are answered 429.
	envSpillDir   = "SPILLWAY_SPILL_DIR"
	envSpillBytes = "SPILLWAY_SPILL_BYTES" // of the files in it; default: 1GiB

	envPort       = "PORT"                            // set by platforms for containers
	envRuntimeAPI = "AWS_LAMBDA_RUNTIME_API"          // set by Lambda, and by nothing else
	envVersion    = "AWS_LAMBDA_FUNCTION_VERSION"     // set by Lambda
	envMemory     = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE" // set by Lambda, in MB
	envGoMemory   = "GOMEMLIMIT"                      // read by Go's runtime
)

const (
	// Linger is how long a request that a server gets while it calls SQS waits for others to share
	// a message with, at most. The users of an SDK do not notice it.
	Linger = 5 * time.Millisecond
	// serverMemory is the least memory limit of a server whose requests may hold all that they may by
	// default: twice that (ingest.Limits.MaxMemory), and some.
	serverMemory = 110 << 20
	// unlimitedMemory is the memory limit where no container has one. 4,096 connections hold some 100
	// MB, and in `up` ten invocations 120 to 140 MB while a million events drain: with a limit below
	// that the garbage collector works without a pause, and a request takes four times the CPU.
	unlimitedMemory = 200 << 20

	// minSpillBytes is room for some of the largest messages, in the part for dead letters too.
	minSpillBytes = 64 << 20

	defaultPort  = "8080"
	defaultGrace = 25 * time.Second // below the 30 s that ECS and Kubernetes wait between SIGTERM and SIGKILL
	maxProxies   = 10
)

// Options are what a deployment decides about the ingest endpoint.
type Options struct {
	Name                         string // the pipeline's, a dimension of its metrics
	QueueURL, DeadLetterQueueURL string
	// ArchiveQueueURL is that of the bulk queue, which takes the archive's records of the
	// endpoint's own dead letters. Empty: these are not archived. A deliver function without an
	// archive would make dead letters of the records.
	ArchiveQueueURL string
	// FallbackQueueURLs are the events queues of further regions, in the order of preference: a
	// message goes to the first queue that takes it. FallbackDeadLetterQueueURLs are the
	// dead-letter queues of the same regions; there may be fewer.
	FallbackQueueURLs, FallbackDeadLetterQueueURLs []string

	// The documents with the write keys that are accepted, see package writekeys: a file, or SSM
	// parameters and an object of S3, s3://BUCKET/KEY. Without all of them any well-formed write key
	// is accepted.
	WriteKeysFile       string
	WriteKeysParameters []string
	WriteKeysObject     string
	// CanaryWriteKey is accepted too, without a quota. Empty: there is no canary.
	CanaryWriteKey string
	// FairQueues says whether messages get a MessageGroupId by their write key, so that a source
	// that floods the queue does not delay the others. SQS takes $0.10 more per million requests
	// for it.
	FairQueues FairQueues
	// PublicURL is the scheme and host for the settings that SDKs load. Empty: those of the
	// request.
	PublicURL string
	// PathPrefix precedes the paths at a proxy in front, like /events. Empty: nothing does.
	PathPrefix string
	LogLevel   slog.Level
	// MemoryLimit is what the function of that name returns. Without a limit the heap may grow to
	// twice its live size before a collection, which is more than a small container has.
	MemoryLimit int64
	// Version is the Lambda function's, by which package rollout's metrics are counted too. Not a
	// number: they are not.
	Version string
	Server  *Server // nil in a Lambda function

	ignored env.Ignored
}

// FairQueues says when messages get a MessageGroupId.
type FairQueues string

// The values of FairQueues, as they are in the environment.
const (
	// FairAmongKeys: when not exactly one write key is accepted, because one source alone can't be
	// in the way of another. The canary's does not count.
	FairAmongKeys FairQueues = ""
	FairAlways    FairQueues = "true" // where publishers share the queue with one write key here
	FairNever     FairQueues = "false"
)

// Server has the further options of an endpoint that runs as a server.
type Server struct {
	Listen         string        // host:port
	TrustedProxies int           // how many proxies in front add to X-Forwarded-For and -Proto
	ShutdownGrace  time.Duration // how long a shutdown waits for the requests under way
	Linger         time.Duration // see the constant
	// SpillDir is a directory of this process alone for messages that no queue takes: they are
	// acknowledged, and sent when a queue takes them. Empty: none. SpillBytes bounds its files; 0:
	// 1 GiB.
	SpillDir   string
	SpillBytes int64
}

// LogValue shows the options without the canary's write key; the others are in their document.
func (o Options) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("name", o.Name), slog.String("queue", o.QueueURL), slog.String("dead_letter_queue", o.DeadLetterQueueURL),
		slog.String("archive_queue", o.ArchiveQueueURL),
		slog.String("fallbacks", strings.Join(o.FallbackQueueURLs, ",")),
		slog.String("write_keys_file", o.WriteKeysFile),
		slog.String("write_keys_parameter", strings.Join(o.WriteKeysParameters, ",")),
		slog.String("write_keys_object", o.WriteKeysObject),
		slog.Bool("canary", o.CanaryWriteKey != ""), slog.String("fair_queues", string(o.FairQueues)),
		slog.String("public_url", o.PublicURL),
		slog.String("path_prefix", o.PathPrefix),
		slog.Bool("lambda", o.Server == nil), slog.Int64("memory_limit", o.MemoryLimit),
	}
	if s := o.Server; s != nil {
		attrs = append(attrs, slog.String("listen", s.Listen), slog.Int("trusted_proxies", s.TrustedProxies),
			slog.String("spill_dir", s.SpillDir), slog.Int64("spill_bytes", s.SpillBytes),
			slog.String("shutdown_grace", s.ShutdownGrace.String()))
	}
	return slog.GroupValue(attrs...)
}

// readOptions reads the options from environ, which has the form of os.Environ; container is as in
// MemoryLimit. The error names every wrong variable.
func readOptions(environ []string, container int64) (Options, error) {
	o := Options{MemoryLimit: MemoryLimit(environ, container)}
	variables := []env.Variable{
		env.String(envName, &o.Name),
		env.QueueURL(envQueueURL, &o.QueueURL), env.QueueURL(envDeadLetterQueueURL, &o.DeadLetterQueueURL),
		env.OptionalQueueURL(envArchiveQueueURL, &o.ArchiveQueueURL),
		env.QueueURLs(envFallbacks, &o.FallbackQueueURLs),
		env.QueueURLs(envFallbackDeadLetters, &o.FallbackDeadLetterQueueURLs),
		keysFile(&o.WriteKeysFile), keysParameters(&o.WriteKeysParameters), keysObject(&o.WriteKeysObject),
		env.Secret(envCanaryWriteKey, &o.CanaryWriteKey, event.ValidWriteKey, event.WriteKeyRule),
		fairQueues(&o.FairQueues), env.String(envPublicURL, &o.PublicURL), pathPrefix(&o.PathPrefix),
		env.LogLevel(envLogLevel, &o.LogLevel),
		env.String(envVersion, &o.Version),
	}
	if api, _ := env.Lookup(environ, envRuntimeAPI); api != "" {
		for _, name := range []string{envListen, envProxies, envGrace, envSpillDir, envSpillBytes} {
			variables = append(variables, notInLambda(name))
		}
	} else {
		o.Server = &Server{ShutdownGrace: defaultGrace, Linger: Linger, SpillBytes: spill.DefaultMaxBytes}
		port, _ := env.Lookup(environ, envPort)
		variables = append(variables, listen(&o.Server.Listen, cmp.Or(port, defaultPort)),
			env.Int(envProxies, &o.Server.TrustedProxies, 0, maxProxies), env.Duration(envGrace, &o.Server.ShutdownGrace),
			spillDir(&o.Server.SpillDir), env.Bytes(envSpillBytes, &o.Server.SpillBytes, minSpillBytes))
	}
	var err error
	o.ignored, err = env.Read(environ, variables...)
	if len(o.FallbackDeadLetterQueueURLs) > len(o.FallbackQueueURLs) {
		err = errors.Join(err, fmt.Errorf("%s must have at most as many URLs as %s", envFallbackDeadLetters, envFallbacks))
	}
	o.Name = cmp.Or(o.Name, emf.DefaultPipeline)
	return o, errors.Join(err,
		env.Exclusive(envKeysFile, o.WriteKeysFile, envKeysParameter, strings.Join(o.WriteKeysParameters, "")),
		env.Exclusive(envKeysFile, o.WriteKeysFile, envKeysObject, o.WriteKeysObject))
}

// spillDir takes a directory's name.
func spillDir(into *string) env.Variable {
	return env.Variable{Name: envSpillDir, Set: func(value string) error {
		if *into = value; value == "" {
			return errors.New("must be a directory, is empty: remove the variable to keep nothing on disk")
		}
		return nil
	}}
}

// keysFile takes a file's name. An empty one is a mistake, such as a variable that a shell does not
// know, and would open the endpoint to everybody.
func keysFile(into *string) env.Variable {
	return env.Variable{Name: envKeysFile, Set: func(value string) error {
		if *into = value; value == "" {
			return errors.New("must be a file with write keys, is empty: remove the variable to accept any write key")
		}
		return nil
	}}
}

// keysParameters takes the names of SSM parameters, separated by commas, which no name has.
func keysParameters(into *[]string) env.Variable {
	return env.Variable{Name: envKeysParameter, Set: func(value string) error {
		for name := range strings.SplitSeq(value, ",") {
			name = strings.TrimSpace(name)
			switch {
			case name == "":
				return fmt.Errorf("%w: remove the variable to accept any write key",
					env.MustBe("an SSM parameter with write keys, or several separated by commas", value))
			case slices.Contains(*into, name):
				return fmt.Errorf("has %s twice", name)
			}
			*into = append(*into, name)
		}
		return nil
	}}
}

// keysObject takes the address of an object of S3.
func keysObject(into *string) env.Variable {
	return env.Variable{Name: envKeysObject, Set: func(value string) error {
		if _, _, err := s3.ParseURI(value); err != nil {
			return fmt.Errorf("%w: remove the variable if the write keys are not in S3", err)
		}
		*into = value
		return nil
	}}
}

// fairQueues takes true and false.
func fairQueues(into *FairQueues) env.Variable {
	return env.Variable{Name: envFairQueues, Set: func(value string) error {
		switch f := FairQueues(value); f {
		case FairAlways, FairNever:
			*into = f
			return nil
		}
		return fmt.Errorf("%w: remove the variable to decide by the number of write keys", env.MustBe("true or false", value))
	}}
}

// pathPrefix takes what [ingest.ParsePathPrefix] does.
func pathPrefix(into *string) env.Variable {
	return env.Variable{Name: envPathPrefix, Set: func(value string) (err error) {
		if *into, err = ingest.ParsePathPrefix(value); err != nil {
			return env.MustBe("a path like /events, without a query, spaces and escapes", value)
		}
		return nil
	}}
}

// notInLambda refuses a variable of a server.
func notInLambda(name string) env.Variable {
	return env.Variable{Name: name, Set: func(string) error {
		return errors.New("must not be set in a Lambda function: it is for a server")
	}}
}

// listen takes an address, or all addresses and the port.
func listen(into *string, port string) env.Variable {
	return env.Variable{Name: envListen, Required: true, Set: func(value string) error {
		if *into = value; value == "" {
			*into = net.JoinHostPort("", port)
			if !isPort(port) {
				return fmt.Errorf("is not set, and %s %w", envPort, env.MustBe("a port between 0 and 65535", port))
			}
			return nil
		}
		if _, p, err := net.SplitHostPort(value); err != nil || !isPort(p) {
			return env.MustBe("host:port like 127.0.0.1:8080 or :8080", value)
		}
		return nil
	}}
}

// ListenAddress returns the host:port where a server with the environment environ listens, for who
// asks it whether it is healthy. environ has the form of os.Environ; its other variables are not
// read.
func ListenAddress(environ []string) (address string, err error) {
	port, _ := env.Lookup(environ, envPort)
	_, err = env.Read(environ, listen(&address, cmp.Or(port, defaultPort)))
	return address, err
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// requestMemory is what all requests together may hold (ingest.Limits.MaxMemory) under a memory
// limit: less than the default where the limit is below serverMemory, in the same proportion, so
// that a small container is not killed. Lambda gives an environment one request at a time.
func requestMemory(limit int64) int {
	if limit <= 0 || limit >= serverMemory {
		return ingest.DefaultMaxMemory
	}
	return max(ingest.LeastMemory(), int(limit*ingest.DefaultMaxMemory/serverMemory))
}

// MemoryLimit is Go's soft memory limit in bytes (debug.SetMemoryLimit) for where the program runs:
// four fifths of what its Lambda function or its container has, otherwise unlimitedMemory. container
// is the container's limit, see package cgroup; 0: none. Negative: GOMEMLIMIT is set and counts.
func MemoryLimit(environ []string, container int64) int64 {
	if limit, _ := env.Lookup(environ, envGoMemory); limit != "" {
		return -1
	}
	total := container
	if megabytes, _ := env.Lookup(environ, envMemory); megabytes != "" {
		if n, err := strconv.ParseInt(megabytes, 10, 32); err == nil && n > 0 {
			total = n << 20
		}
	}
	if total > 0 {
		return total / 5 * 4 // the rest is for what is not on the heap
	}
	return unlimitedMemory
}
