package estimate

import (
	"bytes"
	"compress/gzip"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/price"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/dirstore"
)

// counting is a Store that counts what S3 would charge for.
type counting struct {
	status.Store
	gets, puts int
}

func (c *counting) Read(ctx context.Context, name string) ([]byte, string, error) {
	c.gets++
	return c.Store.Read(ctx, name)
}

func (c *counting) Write(ctx context.Context, name string, data []byte, ifVersion string) error {
	c.puts++
	return c.Store.Write(ctx, name, data, ifVersion)
}

func (c *counting) Put(ctx context.Context, name, contentType string, data []byte) error {
	c.puts++
	return c.Store.Put(ctx, name, contentType, data)
}

func newCounting(t *testing.T) *counting {
	t.Helper()
	store, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &counting{Store: store}
}

// What is written each minute is most of the site's price.
func TestTheStatusSiteReadsAndWritesAsOftenAsItIsPriced(t *testing.T) {
	t.Parallel()
	own, other := newCounting(t), newCounting(t)
	synctest.Test(t, func(t *testing.T) {
		alone := &status.Keeper{Store: own, Site: &status.Site{}}
		beside := &status.Keeper{Store: other, Site: &status.Site{}, Peers: []status.Store{own}}
		observe := func(k *status.Keeper) status.Document {
			d, err := k.Observe(t.Context(), status.Observation{At: time.Now(), Writer: "eu-central-1",
				Regions: []status.Region{{Name: "eu-west-1", Ingest: status.Up, Delivery: status.Up}}})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		observe(alone)
		time.Sleep(time.Minute)
		observe(alone)
		own.gets, own.puts = 0, 0
		const hours = 1
		var d status.Document
		for range hours * 60 {
			time.Sleep(time.Minute)
			d = observe(alone)
		}
		most := hours * (60*price.StatusPuts + price.StatusHourlyPuts)
		if own.puts > most || own.puts < hours*60*price.StatusPuts || own.gets != hours*60*price.StatusGets {
			t.Errorf("in %d hours %d objects are written and %d read; %d and %d are priced", hours, own.puts, own.gets, most,
				hours*60*price.StatusGets)
		}

		observe(beside) // makes the second bucket's document
		before := own.gets + other.gets
		observe(beside)
		// One more is the function's own look, if the other bucket is old.
		if reads := own.gets + other.gets - before; reads != price.StatusGets+price.StatusOtherGets-1 {
			t.Errorf("with a second region it reads %d objects", reads)
		}

		page := status.Render(status.Site{}, d, nil)["index.html"]
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(page)
		_ = z.Close()
		if n := packed.Len(); n > price.StatusPageBytes || n < price.StatusPageBytes/4 {
			t.Errorf("the page has %d bytes compressed, %d are priced", n, price.StatusPageBytes)
		}
	})
}

func TestTheStatusSiteIsDescribedAsItIsDeployed(t *testing.T) {
	s := StatusSite(2, 5)
	if s.Regions != 2 || s.Views != 5 || s.Every != time.Minute || s.AlarmMetrics != 2 || s.Metrics != 1 ||
		s.Function.MemoryMB != 256 || s.Function.LogBytes < 1000 || s.Function.LogBytes > 2000 {
		t.Errorf("%+v", s)
	}
}
