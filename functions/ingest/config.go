package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

// The environment variables that the program reads. A further one that begins with SPILLWAY_ is
// refused: it is a typing error.
const (
	envPrefix = "SPILLWAY_"
	// of the pipeline, a dimension of its metrics; default: spillway
	envName               = "SPILLWAY_NAME"
	envQueueURL           = "SPILLWAY_QUEUE_URL"             // the events queue
	envDeadLetterQueueURL = "SPILLWAY_DEAD_LETTER_QUEUE_URL" // for the bad events of requests whose others are good
	envKeysFile           = "SPILLWAY_WRITE_KEYS_FILE"       // the set of write keys: a file with the document,
	// or the name of an SSM parameter; without both any well-formed key is taken
	envKeysParameter = "SPILLWAY_WRITE_KEYS_PARAMETER"
	// one that is taken besides the set, without a quota; empty: none
	envCanaryWriteKey = "SPILLWAY_CANARY_WRITE_KEY"
	// scheme and host that SDKs are to use; default: those of the request
	envPublicURL = "SPILLWAY_PUBLIC_URL"
	envLogLevel  = "SPILLWAY_LOG_LEVEL" // debug, info, warn, error; default: info

	// Of the plain server only; a Lambda has a gateway for this.
	envListen  = "SPILLWAY_LISTEN"          // host:port; default: every address, and the port that PORT says, or 8080
	envProxies = "SPILLWAY_TRUSTED_PROXIES" // how many proxies of one's own stand in front; default: 0
	envGrace   = "SPILLWAY_SHUTDOWN_GRACE"  // how long requests under way may take after SIGTERM; default: 25s

	envPort       = "PORT"                   // what platforms for containers set
	envRuntimeAPI = "AWS_LAMBDA_RUNTIME_API" // what Lambda sets, and nothing else

	// Go's own memory limit; default: 80 % of a Lambda's, 110 MiB in a server
	envGoMemory     = "GOMEMLIMIT"
	envLambdaMemory = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE" // in MB, of Lambda
)

// known are the variables of the prefix, in the order in which they are shown.
var known = [...]string{envName, envQueueURL, envDeadLetterQueueURL, envKeysFile, envKeysParameter, envCanaryWriteKey,
	envPublicURL, envLogLevel, envListen, envProxies, envGrace}

const (
	defaultPort  = "8080"
	defaultGrace = 25 * time.Second // below the 30 s that ECS and Kubernetes wait between SIGTERM and SIGKILL
	maxProxies   = 10
)

type config struct {
	name                         string
	queueURL, deadLetterQueueURL string
	keysFile, keysParameter      string
	canaryKey                    string
	publicURL                    string
	logLevel                     slog.Level

	lambda  bool
	listen  string
	proxies int
	grace   time.Duration
}

// LogValue shows the effective configuration without the canary's write key; the others stand in a
// document of their own.
func (c config) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("name", c.name), slog.String("queue", c.queueURL), slog.String("dead_letter_queue", c.deadLetterQueueURL),
		slog.String("write_keys_file", c.keysFile), slog.String("write_keys_parameter", c.keysParameter),
		slog.Bool("canary", c.canaryKey != ""), slog.String("public_url", c.publicURL), slog.Bool("lambda", c.lambda),
	}
	if !c.lambda {
		attrs = append(attrs, slog.String("listen", c.listen), slog.Int("trusted_proxies", c.proxies),
			slog.String("shutdown_grace", c.grace.String()))
	}
	return slog.GroupValue(attrs...)
}

// readConfig reads the variables of environ, which has the form of os.Environ. The error names
// every variable that is wrong and says what to write.
func readConfig(environ []string) (config, error) {
	c := config{name: emf.DefaultPipeline, grace: defaultGrace}
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	port := defaultPort
	var ofServer []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		var err error
		switch name {
		case envRuntimeAPI:
			c.lambda = value != ""
		case envPort:
			if value != "" {
				port = value
			}
		case envName:
			c.name = cmp.Or(value, c.name)
		case envQueueURL:
			c.queueURL = value
		case envDeadLetterQueueURL:
			c.deadLetterQueueURL = value
		case envKeysFile:
			c.keysFile = value
		case envKeysParameter:
			c.keysParameter = value
		case envCanaryWriteKey:
			c.canaryKey = value
		case envPublicURL:
			c.publicURL = value
		case envLogLevel:
			if err = c.logLevel.UnmarshalText([]byte(value)); err != nil {
				fail("%s is %q: write debug, info, warn or error", name, value)
			}
		case envListen:
			ofServer, c.listen = append(ofServer, name), value
		case envProxies:
			ofServer = append(ofServer, name)
			if c.proxies, err = strconv.Atoi(value); err != nil || c.proxies < 0 || c.proxies > maxProxies {
				fail("%s is %q: write how many proxies of your own stand in front of the server, 0 to %d", name, value, maxProxies)
			}
		case envGrace:
			ofServer = append(ofServer, name)
			if c.grace, err = time.ParseDuration(value); err != nil || c.grace <= 0 {
				fail("%s is %q: write a duration like %v, below what your platform waits between SIGTERM and SIGKILL", name, value,
					defaultGrace)
			}
		default:
			if strings.HasPrefix(name, envPrefix) {
				fail("%s is not known: write one of %s", name, strings.Join(known[:], ", "))
			}
		}
	}
	for _, q := range [...]struct{ name, url string }{{envQueueURL, c.queueURL},
		{envDeadLetterQueueURL, c.deadLetterQueueURL}} {
		if u, err := url.Parse(q.url); err != nil || u.Host == "" {
			fail("%s is %q: write the queue's URL, like https://sqs.us-east-1.amazonaws.com/123456789012/spillway-events",
				q.name, q.url)
		}
	}
	if c.keysFile != "" && c.keysParameter != "" {
		fail("%s and %s are both set: write one of them", envKeysFile, envKeysParameter)
	}
	if c.lambda {
		for _, name := range ofServer {
			fail("%s is for the plain server, and this is a Lambda: leave it out", name)
		}
		return c, errors.Join(errs...)
	}
	from := envListen
	if c.listen == "" {
		from, c.listen = envPort, net.JoinHostPort("", port)
	}
	if _, p, err := net.SplitHostPort(c.listen); err != nil || !isPort(p) {
		value := c.listen
		if from == envPort {
			value = port
		}
		fail("%s is %q: write host:port in %s, like 127.0.0.1:8080 or :8080, or a port in %s", from, value, envListen,
			envPort)
	}
	return c, errors.Join(errs...)
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}
