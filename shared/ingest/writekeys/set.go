package writekeys

import (
	"log/slog"

	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/reload"
)

// A Set is an ingest.KeySet that follows a document. It is safe for concurrent use.
type Set struct{ *reload.Value[*ingest.Keys] }

// New returns a Set that accepts any well-formed key until a reload.Group has read it: add it to
// one.
func New(source reload.Source, logger *slog.Logger) Set {
	return Set{reload.New(reload.Config[*ingest.Keys]{
		What: "set of write keys", Without: "any well-formed write key is accepted",
		Source: source, Parse: parseKeys, Logger: logger,
	})}
}

// Lookup implements ingest.KeySet.
func (s Set) Lookup(writeKey string) (ingest.Key, bool) {
	keys, ok := s.Load()
	if !ok {
		return ingest.Key{}, true
	}
	return keys.Lookup(writeKey)
}

func parseKeys(data []byte) (*ingest.Keys, slog.Attr, error) {
	parsed, err := Parse(data)
	if err != nil {
		return nil, slog.Attr{}, err
	}
	keys, err := ingest.NewKeys(parsed)
	return keys, slog.Int("count", len(parsed)), err
}
