package deliver

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// newDrill is the time until which canaries are dropped. The parameter exists only during a drill,
// and usually not: that is a value like another. Delivery never waits for it.
func newDrill(source reload.Source, logger *slog.Logger) *reload.Value[time.Time] {
	readParameter := source.Read
	source.Read = func(ctx context.Context) (reload.Content, error) {
		c, err := readParameter(ctx)
		if ssm.NotFound(err) {
			return reload.Content{Data: []byte(noDrill)}, nil
		}
		return c, err
	}
	source.ReadVersion = nil
	return reload.New(reload.Config[time.Time]{
		What: "end of a drill", Without: "no canary is dropped", Source: source, Logger: logger, Default: new(time.Time),
		Parse: func(_ context.Context, data []byte) (time.Time, slog.Attr, error) {
			text := strings.TrimSpace(string(data))
			if text == noDrill {
				return time.Time{}, slog.String("until", noDrill), nil
			}
			until, err := canary.ParseDrill(text, time.Now())
			return until, slog.Time("until", until), err
		},
	})
}

const noDrill = "none"

// drilling reports whether canaries are dropped now.
func drilling(until *reload.Value[time.Time], now time.Time) bool {
	end, _ := until.Load()
	return now.Before(end)
}
