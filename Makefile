BUN := $(CURDIR)/.build/bun/node_modules/.bin/bun
