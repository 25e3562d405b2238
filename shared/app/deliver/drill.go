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
	return reload.New(reload.Config[time.Time]{
		What: "end of a drill", Without: "no canary is dropped", Logger: logger, Default: new(time.Time),
		Source: source.Else([]byte(noDrill), ssm.NotFound),
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
