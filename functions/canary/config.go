package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/emf"
)

// The environment variables that the function reads. A further one that begins with SPILLWAY_ is
// refused: it is a typing error.
const (
	envPrefix         = "SPILLWAY_"
	envName           = "SPILLWAY_NAME"             // of the pipeline, a dimension of its metrics; default: spillway
	envIngestURL      = "SPILLWAY_INGEST_URL"       // of the public door, as SDKs use it
	envCanaryWriteKey = "SPILLWAY_CANARY_WRITE_KEY" // the same as the other functions have; default: canary.WriteKey
	envLogLevel       = "SPILLWAY_LOG_LEVEL"        // debug, info, warn, error; default: info
)

// known are the variables of the prefix, in the order in which they are shown.
var known = [...]string{envName, envIngestURL, envCanaryWriteKey, envLogLevel}

type config struct {
	name, ingestURL, writeKey string
	logLevel                  slog.Level
}

// LogValue shows the effective configuration without the write key.
func (c config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", c.name), slog.String("ingest_url", c.ingestURL),
		slog.Bool("ends_before_segment", canary.EndsBeforeSegment(c.writeKey)))
}

// readConfig reads the variables of environ, which has the form of os.Environ. The error names
// every variable that is wrong and says what to write.
func readConfig(environ []string) (config, error) {
	c := config{name: emf.DefaultPipeline, writeKey: canary.WriteKey}
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		switch name {
		case envName:
			c.name = cmp.Or(value, c.name)
		case envIngestURL:
			c.ingestURL = value
		case envCanaryWriteKey:
			if value != "" {
				c.writeKey = value
			}
		case envLogLevel:
			if err := c.logLevel.UnmarshalText([]byte(value)); err != nil {
				fail("%s is %q: write debug, info, warn or error", name, value)
			}
		default:
			fail("%s is not known: write one of %s", name, strings.Join(known[:], ", "))
		}
	}
	if c.ingestURL == "" {
		fail("%s is missing: write the URL of the door that SDKs use, like https://events.example.com", envIngestURL)
	}
	return c, errors.Join(errs...)
}
