package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

const (
	urlsFile    = "ingest-urls.json"
	urlInterval = 15 * time.Minute // how often a URL is read again
	urlTimeout  = 3 * time.Second
)

// urls knows the ingest endpoint of each region. API Gateway makes up its host, so each region's
// stack writes it into a parameter of SSM. The last good ones are remembered beside the site: a
// function that starts while a region is away must ask its endpoint all the same.
type urls struct {
	memory status.Store

	mu         sync.Mutex
	known      map[string]string    // by region
	at         map[string]time.Time // when each was read from its parameter
	remembered map[string]string    // what memory has; nil: it was not read
}

// of returns the URL of a region's ingest endpoint.
func (u *urls) of(ctx context.Context, region *Region) (string, error) {
	u.mu.Lock()
	url, fresh := u.known[region.Name], time.Since(u.at[region.Name]) < urlInterval
	u.mu.Unlock()
	if url != "" && fresh {
		return url, nil
	}
	ctx, cancel := context.WithTimeout(ctx, urlTimeout)
	defer cancel()
	read, err := region.Source.IngestURL(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		url = read
		u.known[region.Name], u.at[region.Name] = url, time.Now()
	} else if url == "" {
		if url = u.remembered[region.Name]; url == "" {
			return "", fmt.Errorf("find the ingest endpoint: %w", err)
		}
	}
	return url, nil
}

// recall reads what is remembered, once.
func (u *urls) recall(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.remembered != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, urlTimeout)
	defer cancel()
	data, _, err := u.memory.Read(ctx, urlsFile)
	found := map[string]string{}
	switch {
	case errors.Is(err, status.ErrNotFound):
		err = nil
	case err != nil:
		return fmt.Errorf("recall the ingest endpoints: %w", err)
	default:
		if err = json.Unmarshal(data, &found); err != nil || found == nil { // or it is null
			found, err = map[string]string{}, fmt.Errorf("recall the ingest endpoints: %s is broken, and will be replaced: %v",
				urlsFile, err)
		}
	}
	u.remembered = found
	return err
}

// remember writes what is known, if that is not what is remembered. While it is not known what is
// remembered nothing is written: it may be all that is known of a region that is away.
func (u *urls) remember(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.remembered == nil {
		return nil
	}
	all := maps.Clone(u.remembered)
	maps.Copy(all, u.known)
	if maps.Equal(all, u.remembered) {
		return nil
	}
	data, err := json.Marshal(all)
	if err == nil {
		err = u.memory.Put(ctx, urlsFile, status.ContentType(urlsFile), data)
	}
	if err != nil {
		return fmt.Errorf("remember the ingest endpoints: %w", err)
	}
	u.remembered = all
	return nil
}
