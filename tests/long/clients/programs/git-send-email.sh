# debian: git git-email
cat > 0001-x.patch <<PATCH
From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: A <$FROM>
Date: Sun, 29 Nov 2026 10:00:00 +0900
Subject: $SUBJECT

$BODY
---
PATCH
git send-email --smtp-server="$HOST" --smtp-server-port="$PORT" --from="$FROM" --to="$TO" --confirm=never --quiet 0001-x.patch
