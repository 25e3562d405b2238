// Package statussite finds the status site that a command works on: that of the pipeline on this
// machine, or of one on AWS.
package statussite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/local"
	appstatus "github.com/spillwayhq/spillway/shared/app/status"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/dirstore"
	"github.com/spillwayhq/spillway/shared/status/s3store"
)

// Flags say which site.
type Flags struct {
	set     *pflag.FlagSet
	name    deployed.Name
	region  string
	dataDir string
}

// Register adds the flags.
func (f *Flags) Register(set *pflag.FlagSet) {
	f.set = set
	f.name.Register(set)
	set.StringVar(&f.region, "region", "",
		"status `region` of the pipeline that --name names (default: that of the AWS tools)")
	set.StringVar(&f.dataDir, "data-dir", ".spillway",
		"`directory` that up uses, whose site is in its folder "+local.StatusFolder)
}

// Public reports whether the site is one that customers read.
func (f *Flags) Public() bool { return f.name.Given() }

// Check refuses flags that do not belong together.
func (f *Flags) Check() error {
	if f.name.Given() && f.set.Changed("data-dir") {
		return errors.New("--name is for a pipeline on AWS, --data-dir for one on this machine: leave one of them out")
	}
	if !f.name.Given() && f.region != "" {
		return errors.New("--region is for a pipeline on AWS: give --name too")
	}
	return nil
}

// Open returns the keeper of the site, and where it is.
func (f *Flags) Open(ctx context.Context) (k *status.Keeper, where string, err error) {
	if err := f.Check(); err != nil {
		return nil, "", err
	}
	if f.name.Given() {
		return f.openBucket(ctx)
	}
	if info, err := os.Stat(f.dataDir); err != nil || !info.IsDir() {
		return nil, "", fmt.Errorf("%s is not a data directory of `spillway up`: name one with --data-dir, or a "+
			"pipeline on AWS "+
			"with --name", f.dataDir)
	}
	dir := filepath.Join(f.dataDir, local.StatusFolder)
	store, err := dirstore.Open(dir)
	if err != nil {
		return nil, "", err
	}
	return &status.Keeper{Store: store}, dir, nil
}

// openBucket asks the status function of the region which buckets the site has. The keeper writes
// that of this region and reads the others.
func (f *Flags) openBucket(ctx context.Context) (*status.Keeper, string, error) {
	names, err := f.name.Names()
	if err != nil {
		return nil, "", err
	}
	c, err := deployed.Config(ctx)
	if err != nil {
		return nil, "", err
	}
	if f.region != "" {
		c.Region = f.region
	}
	function, err := signed.Configuration(ctx, c, names.StatusFunction)
	if err != nil {
		return nil, "", fmt.Errorf("find the status site: read the function %s in %s: %w (is %[2]s a status region? name "+
			"one with --region)", names.StatusFunction, c.Region, err)
	}
	buckets, err := appstatus.ParseBuckets(function.Environment.Variables[deployed.VarStatusBuckets])
	if err != nil {
		return nil, "", fmt.Errorf("find the status site: the variable %s of the function %s in %s %w: deploy it again",
			deployed.VarStatusBuckets, names.StatusFunction, c.Region, err)
	}
	k, bucket := &status.Keeper{}, ""
	var elsewhere []string
	for _, b := range buckets {
		store := s3store.Open(c, b.Region, b.Name, status.SiteFolder)
		if b.Region == c.Region {
			k.Store, bucket = store, b.Name
			continue
		}
		k.Peers = append(k.Peers, store)
		elsewhere = append(elsewhere, b.Region)
	}
	if k.Store == nil {
		return nil, "", fmt.Errorf("the status site's buckets are in %s, not in %s: name one of these with --region",
			strings.Join(elsewhere, " and "), c.Region)
	}
	return k, "s3://" + bucket, nil
}

// Document reads the site's document; its error says what to do if there is none.
func Document(ctx context.Context, k *status.Keeper, where string) (status.Document, error) {
	d, err := k.Read(ctx)
	if errors.Is(err, status.ErrNotFound) {
		return d, fmt.Errorf("there is no status site yet in %s: it begins when the pipeline has run for a minute", where)
	}
	return d, err
}
