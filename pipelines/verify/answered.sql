-- The answers that a payout run took in, against what was instructed and answered before.
--
-- Given: what payouts.sql and lines.sql make.

CREATE OR REPLACE TABLE said AS
SELECT
    payout_id,
    min(name) AS name,
    min(row) AS row,
    any_value(service_id) AS service_id,
    any_value(account_id) AS number,
    any_value(enrolled_account_id) AS account_id,
    any_value(direction) AS direction,
    count(DISTINCT {'s': service_id, 'a': account_id, 'e': enrolled_account_id, 'd': direction}) = 1
        AND bool_and(entry IN ('done', 'refused')) AS is_of_one_line,
    coalesce(sum(points) FILTER (entry = 'done' AND points > 0), 0) AS done,
    coalesce(sum(points) FILTER (entry <> 'done' AND points > 0), 0) AS refused,
    coalesce(-sum(points) FILTER (entry = 'done' AND points < 0), 0) AS done_back,
    coalesce(-sum(points) FILTER (entry <> 'done' AND points < 0), 0) AS refused_back,
    min("on") AS first_on,
    max("on") AS last_on
FROM payout_row
JOIN asked USING (payout_run)
GROUP BY payout_id;

CREATE OR REPLACE TABLE payout_fault AS
SELECT 'answer' AS kind, what, name, row, service_id, account_id
FROM (
    SELECT
        s.*,
        unnest(
            list_filter(
                [
                    CASE WHEN l.payout_id IS NULL THEN 'the answer is to no payout' END,
                    CASE
                        WHEN
                            NOT s.is_of_one_line
                            OR (s.service_id, s.number, s.account_id, s.direction)
                            <> (l.service_id, l.number, l.enrolled_account_id, l.direction)
                        THEN 'the answer names another account or direction than was instructed'
                    END,
                    CASE
                        WHEN s.done + s.refused <> l.instructed
                        THEN 'the answer has other points than were instructed'
                    END,
                    CASE
                        WHEN s.done_back <> l.done OR s.refused_back <> l.refused
                        THEN 'what an earlier answer said is not taken back as it was said'
                    END,
                    CASE
                        WHEN s.first_on <= l.answered_on
                        THEN 'the answer is not of a later day than the one before'
                    END,
                    CASE WHEN s.first_on <> s.last_on THEN 'the answer is of two days' END
                ],
                lambda what: what IS NOT NULL
            )
        ) AS what
    FROM said AS s
    LEFT JOIN line AS l USING (payout_id)
);

CREATE OR REPLACE TABLE answered AS
SELECT
    count(*) AS answers,
    coalesce(sum(done) FILTER (direction = 'pay'), 0)::BIGINT AS granted,
    coalesce(sum(done) FILTER (direction <> 'pay'), 0)::BIGINT AS taken_back,
    coalesce(sum(refused), 0)::BIGINT AS refused,
    coalesce(sum(done_back + refused_back), 0)::BIGINT AS replaced
FROM said;
